//! Programs in a terminal: a login by the browser at hand.
