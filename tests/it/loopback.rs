//! A login by the browser at hand, as its user, a stranger on the same machine and a newcomer meet it.

mod attacks;
mod browsers;
mod failed_logins;
mod pasted_callbacks;
mod ports;
mod fixture;
