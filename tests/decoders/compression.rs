//! Responses are never decompressed, even if reqwest could.

use bytes::Bytes;
use webex_oauth::transport::{ReqwestTransport, Transport as _};
use webex_oauth::{Delivery, ErrorKind};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

#[tokio::test]
async fn compressed_response_is_rejected_without_decompression() {
    let webex = MockServer::start().await;
    let decompressing = reqwest::Client::builder().gzip(true);
    for transport in
        [ReqwestTransport::builder().build().unwrap(), ReqwestTransport::from_builder(decompressing).unwrap()]
    {
        for encoding in ["gzip", "br", "zstd", "deflate", "x-gzip", "identity, gzip"] {
            webex.reset().await;
            let response =
                ResponseTemplate::new(200).insert_header("content-encoding", encoding).set_body_bytes(*b"\x1f\x8b");
            Mock::given(matchers::any()).respond_with(response).mount(&webex).await;

            let request = http::Request::get(webex.uri()).body(Bytes::new()).unwrap();
            let error = transport.exchange(request).await.unwrap_err();

            assert_eq!(error.to_string(), "response is compressed: the request did not allow a content coding");
            assert_eq!((error.kind(), error.delivery()), (ErrorKind::Transport, Some(Delivery::Unknown)));
            assert!(!error.is_retryable());
            let received = &webex.received_requests().await.unwrap()[0];
            assert!(!received.headers.contains_key("accept-encoding"));
        }
    }
}
