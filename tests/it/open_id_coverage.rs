//! The relying-party tests of the OpenID Foundation: `RP` is the certification suite (RP-58: old
//! suite; `oidcc-client-test-*`), `F` its security profiles (`fapi1-*`, `fapi2-*`). Each row marked
//! `must` has a test with its name, and each row marked `skip` a reason. The test below checks it.
//!
//! | row | subject | status | test or reason |
//! |---|---|---|---|
//! | RP-01 | a login succeeds | must | `open_id::rp_01_openid_login_returns_verified_identity` |
//! | RP-02 | another `iss` is rejected | must | `open_id::rp_02_wrong_issuer_is_rejected` |
//! | RP-03 | a missing `sub` is rejected | must | `open_id::rp_03_id_token_without_valid_subject_is_rejected` |
//! | RP-04 | another `aud` is rejected | must | `open_id::rp_04_wrong_audience_is_rejected` |
//! | RP-05 | a missing `aud` is rejected | must | `open_id::rp_05_id_token_without_audience_is_rejected` |
//! | RP-06 | a missing `iat` is rejected | must | `open_id::rp_06_id_token_without_issue_time_is_rejected` |
//! | RP-07 | without `kid`, the only key is accepted | must | `open_id::rp_07_id_token_without_key_id_uses_only_key` |
//! | RP-08 | without `kid`, one of several is rejected or found | must | `open_id::rp_08_id_token_without_key_id_is_rejected_with_several_keys` |
//! | RP-09 | RS256 is accepted | must | `open_id::rp_09_rs256_is_accepted_with_keys_without_use_or_algorithm` |
//! | RP-10 | `none` is accepted or rejected | must | `open_id::rp_10_unsigned_id_token_is_rejected` |
//! | RP-11 | a bad RS256 signature is rejected | must | `open_id::rp_11_invalid_signature_is_rejected` |
//! | RP-12 | a bad HS256 signature is rejected | must | `open_id::rp_12_hs256_signed_id_token_is_rejected` |
//! | RP-13 | a bad ES256 signature is rejected | must | `open_id::rp_13_es256_is_rejected_unless_allowed_and_validly_signed` |
//! | RP-14 | userinfo, with the token in a header | must | `open_id::rp_14_userinfo_request_has_token_only_in_header` |
//! | RP-15 | userinfo, with the token in a form | skip | a token in a form is optional (RFC 6750 section 2.2), and Webex documents the header alone |
//! | RP-16 | userinfo of another `sub` is rejected | must | `open_id::rp_16_userinfo_of_other_user_is_rejected` |
//! | RP-17 | another `nonce` is rejected | must | `open_id::rp_17_missing_or_wrong_nonce_is_rejected` |
//! | RP-18 | a `nonce` is sent | must | `open_id::rp_18_each_openid_login_sends_unique_nonce` |
//! | RP-19 | claims by scope | must | `open_id::rp_19_userinfo_returns_claims_of_requested_scopes` |
//! | RP-20 | `client_secret_basic` | must | `open_id::rp_20_client_authenticates_only_in_header` |
//! | RP-21 | a wrong `c_hash` is rejected | must | `open_id::rp_21_wrong_c_hash_is_rejected` |
//! | RP-22 | a missing `c_hash` with a code is rejected | skip | only hybrid flows return a code and an ID token through the browser at once, and `begin()` rejects their response types |
//! | RP-23 | a wrong `at_hash` is rejected | must | `open_id::rp_23_wrong_at_hash_is_rejected` |
//! | RP-24 | a missing `at_hash` is rejected with a token from the browser | must | `open_id::rp_24_at_hash_is_optional_only_from_token_endpoint` |
//! | RP-25 | an error response as a form is parsed | must | `open_id::rp_25_error_as_form_post_is_parsed` |
//! | RP-26 | aggregated claims are read | skip | Webex's document names no claims of other sources (`claim_types_supported`), and signed claims of strangers would require their keys |
//! | RP-27 | distributed claims are fetched | skip | this would send requests to any URL in a response, with a token for a third party |
//! | RP-28 | `mtls_endpoint_aliases` are used | skip | Webex's clients have a secret, and no certificate that a second set of endpoints could ask for |
//! | RP-29 | the discovery document is used | must | `discovery::rp_29_discovered_endpoints_are_used` |
//! | RP-30 | the keys are those of its `jwks_uri` | must | `discovery::rp_30_keys_are_fetched_from_discovered_jwks_uri` |
//! | RP-31 | another issuer in it is rejected | must | `discovery::rp_31_document_with_foreign_issuer_or_endpoint_is_rejected` |
//! | RP-32 | changed keys are fetched at the next login | must | `open_id::rp_32_keys_changed_since_last_login_are_fetched_once` |
//! | RP-33 | keys changed right before signing are fetched again | must | `open_id::rp_33_keys_changed_before_signing_are_fetched_after_1_second` |
//! | RP-34 | WebFinger by `acct:` | must | `discovery::rp_34_home_issuer_must_be_trusted_by_service` |
//! | RP-35 | WebFinger by URL | skip | users of Webex are known by their e-mail address, and no URL of theirs could be asked about |
//! | RP-36 | dynamic registration | skip | integrations are registered by hand in the developer portal (`guide::register`) |
//! | RP-37 | signed requests by `request_uri` | skip | Webex's document contains `request_uri_parameter_supported: false` |
//! | RP-38 | unsigned requests by `request_uri` | skip | `AuthorizationRequest::parameter` rejects `request` and `request_uri`: their content could not be checked |
//! | RP-39 | signed userinfo is verified | skip | Webex responds with JSON; a signed response is rejected by that name: `open_id::signed_userinfo_is_reported_as_misconfiguration` |
//! | RP-40 | a login started by a third party | skip | a registration at Webex has no `initiate_login_uri`, so none is called; an application that wants a link of its own to begin a login calls `authorize().login_hint(..)` behind it |
//! | RP-41 | a refresh returns a valid token | must | `open_id::rp_41_refresh_returns_usable_token_and_requests_no_scope` |
//! | RP-42 | another `iss` after a refresh is rejected | must | `open_id::rp_42_refreshed_id_token_of_other_issuer_is_rejected` |
//! | RP-43 | another `sub` after a refresh is rejected | must | `open_id::rp_43_refreshed_id_token_of_other_user_is_rejected` |
//! | RP-44 | the browser is sent to log out | must | `discovery::rp_44_logout_url_uses_issuer_of_user_and_omits_token` |
//! | RP-45 | the redirect has another `state` | skip | Webex's logout page takes no `state`, so it cannot change |
//! | RP-46 | the redirect has no `state` | skip | the redirect leads to the application's own page (`goto`), and this crate does not read its parameters |
//! | RP-47 | front-channel logout, started by the application | skip | front-channel logout needs a page that Webex loads in a frame, and registrations have no place to name one |
//! | RP-48 | front-channel logout, started by Webex | skip | Webex notifies no application of a sign-out; a session reports it when a token is rejected |
//! | RP-49 | a logout token is accepted | skip | Webex's document does not say `backchannel_logout_supported`, and none are sent |
//! | RP-50 | an unsigned one is rejected | skip | nothing reads logout tokens, and as an ID token an unsigned one is rejected (RP-10) |
//! | RP-51 | one without `events` is rejected | skip | `events` has a meaning in logout tokens alone |
//! | RP-52 | one with `nonce` is rejected | skip | the rule keeps ID tokens from being taken for logout tokens, which are never accepted |
//! | RP-53 | one of another algorithm is rejected | skip | no algorithm for logout tokens can be agreed on; for ID tokens see RP-12 and RP-13 |
//! | RP-54 | one of another `aud` is rejected | skip | no address of an application accepts logout tokens, this client's or another one's |
//! | RP-55 | one with another event is rejected | skip | back-channel logout is the only event of the standard, and it is not sent |
//! | RP-56 | one of another `iss` is rejected | skip | no issuer can end sessions with a logout token |
//! | RP-57 | session management in a frame | skip | Webex's document names no `check_session_iframe` |
//! | RP-58 | `client_secret_post`; encryption, other client authentication, request objects and claims requests of the old suite | must | `open_id::rp_58_client_authenticates_in_form_when_configured` |
//! | F-01 | a login succeeds | must | `profiles::f_01_login_with_userinfo_and_refresh_succeeds` |
//! | F-02 | another `iss` in the callback ends the login | must | `profiles::f_02_callback_of_other_issuer_ends_login` |
//! | F-03 | an advertised `iss` that is missing ends the login | must | `profiles::f_03_callback_without_advertised_issuer_ends_login` |
//! | F-04 | another `state` ends the login | must | `profiles::f_04_callback_with_wrong_state_is_rejected` |
//! | F-05 | a missing `state` ends the login | must | `profiles::f_05_callback_without_state_is_rejected` |
//! | F-06 | a missing `iss`, `aud`, `exp` or `nonce` is rejected | must | `profiles::f_06_id_token_without_required_claims_is_rejected` |
//! | F-07 | an `exp` of five minutes ago is rejected | must | `profiles::f_07_expired_id_token_is_rejected_beyond_clock_skew` |
//! | F-08 | an `iat` of a week ago is rejected | must | `profiles::f_08_id_token_with_old_or_future_issue_time_is_rejected` |
//! | F-09 | another `iss`, `aud` or `nonce` is rejected | must | `profiles::f_09_wrong_issuer_audience_or_nonce_is_rejected` |
//! | F-10 | a second `aud` is rejected | must | `profiles::f_10_extra_audience_or_wrong_authorized_party_is_rejected` |
//! | F-11 | a list of one `aud` is accepted | must | `profiles::f_11_audience_as_list_is_accepted` |
//! | F-12 | `none`, another algorithm, a bad signature are rejected | must | `profiles::f_12_unsigned_or_wrongly_signed_id_token_is_rejected` |
//! | F-13 | a wrong `c_hash` is rejected (`s_hash` belongs to hybrid flows) | must | `profiles::f_13_wrong_at_hash_or_c_hash_is_rejected` |
//! | F-14 | a missing `at_hash` is accepted | must | `profiles::f_14_hashes_are_optional_from_token_endpoint` |
//! | F-15 | `token_type` in any case is accepted | must | `profiles::f_15_token_type_is_case_insensitive` |
//! | F-16 | a missing `scope` is the requested scope | must | `profiles::f_16_missing_scope_defaults_to_requested_scopes` |
//! | F-17 | a missing `expires_in` is accepted | must | `profiles::f_17_missing_lifetime_leaves_expiry_unknown` |
//! | F-18 | a document of another issuer ends the login | must | `profiles::f_18_discovery_document_of_other_issuer_is_rejected` |
//! | F-19 | after a 401, one refresh and one more request | must | `profiles::f_19_rejected_request_is_resent_with_new_token` |
//! | F-20 | bad JARM responses are rejected | skip | Webex's callbacks are plain parameters; a `response` that is a token is not read |
//! | F-21 | encrypted ID tokens are read or rejected | skip | no key of the client's is registered with Webex, to encrypt to; five parts are rejected as no signed token |
//! | F-22 | DPoP, in any case of the scheme | skip | Webex issues bearer tokens only, and `token_type: DPoP` is rejected |

use std::collections::BTreeSet;

use crate::test_names::{tests_below, tests_in};

/// The number of rows of each kind.
const ROW_COUNTS: [(&str, usize); 2] = [("RP", 58), ("F", 22)];

struct Row<'a> {
    name: &'a str,
    is_required: bool,
    /// The test, or the reason.
    test_or_reason: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let lines = include_str!("open_id_coverage.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = lines.map(|line| line.trim_end_matches(" |").split(" | ").collect::<Vec<_>>());
    let rows = cells.filter(|cells| cells[0].contains('-') && !cells[0].starts_with('-'));
    rows.map(|cells| match cells[..] {
        [name, _, "must", by] => Row { name, is_required: true, test_or_reason: by.trim_matches('`') },
        [name, _, "skip", by] => Row { name, is_required: false, test_or_reason: by },
        _ => panic!("{cells:?}"),
    })
    .collect()
}

/// Returns the prefix of the test name, such as `rp_07_` for `RP-07`.
fn test_name_prefix(row: &str) -> String {
    format!("{}_", row.to_ascii_lowercase().replace('-', "_"))
}

#[test]
fn each_row_is_listed_once_in_order() {
    let expected =
        ROW_COUNTS.into_iter().flat_map(|(kind, most)| (1..=most).map(move |row| format!("{kind}-{row:02}")));
    assert_eq!(rows().iter().map(|row| row.name).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn each_required_row_has_test_and_each_test_has_row() {
    let (rows, tests) = (rows(), tests_below("tests/it", ""));
    for row in rows.iter().filter(|row| row.is_required) {
        let (_, test) = row.test_or_reason.split_once("::").unwrap_or_default();
        assert!(
            test.starts_with(&test_name_prefix(row.name)) && tests.contains(row.test_or_reason),
            "{}: no test {:?}",
            row.name,
            row.test_or_reason
        );
    }
    let is_of_row = |name: &str| ROW_COUNTS.into_iter().any(|(kind, _)| name.starts_with(&test_name_prefix(kind)));
    for test in tests.iter().filter(|test| is_of_row(test.rsplit_once("::").unwrap().1)) {
        let row = rows.iter().find(|row| row.is_required && row.test_or_reason == test);
        assert!(row.is_some(), "{test} stands in no row");
    }
}

#[test]
fn each_skipped_row_has_unique_reason() {
    let rows = rows();
    let skipped: Vec<_> = rows.iter().filter(|row| !row.is_required).collect();
    assert!(skipped.iter().all(|row| row.test_or_reason.len() > 20));
    assert_eq!(skipped.iter().map(|row| row.test_or_reason).collect::<BTreeSet<_>>().len(), skipped.len());
}

#[test]
fn ignored_or_non_test_function_is_not_collected() {
    let text = "fn rp_01() {}
        #[test] fn rp_02() {}
        /// #[test]
        async fn rp_03() {}
        #[test] #[ignore] fn rp_04() {}
        #[allow(dead_code)]
        #[tokio::test(flavor = \"multi_thread\")]
        async fn rp_05() {}
        mod inner { #[test] fn rp_06() {} }
        const TEXT: &str = \"#[test] fn rp_07() {}\";";
    assert_eq!(Vec::from_iter(tests_in("file", text)), ["file::inner::rp_06", "file::rp_02", "file::rp_05"]);
    let twice = std::panic::catch_unwind(|| tests_in("file", "#[test] fn a() {}\n#[test] fn a() {}"));
    assert!(twice.is_err(), "a name that exists twice is ambiguous");
}
