#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    webex_oauth_fuzz::web_finger(input);
});
