//! The examples that Amazon publishes for chunk and trailer signatures.
use super::*;

/// The examples of the Amazon S3 API Reference, "Transferring Payload in Multiple Chunks" and "Including Trailing
/// Headers": 66,560 bytes of `a` in chunks of 64 KiB.
#[test]
fn the_examples_of_the_documentation_verify() {
    let data = vec![b'a'; 66_560];
    for (mode, seed, signatures, trailer) in [
        (
            SIGNED,
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ],
            None,
        ),
        (
            SIGNED_TRAILER,
            "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
            [
                "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
                "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
                "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
            ],
            Some(("sOO8/Q==", "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435")),
        ),
    ] {
        let mut draft = Draft::new("PUT", "/", "");
        draft.date = "20130524T000000Z".into();
        draft.scope_date = "20130524".into();
        draft.secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into();
        let mut chain = draft.sign().chain;
        chain.previous = seed.into();
        assert_eq!(chain.chunk(&data[..65_536]), signatures[0], "{mode}");
        assert_eq!(chain.chunk(&data[65_536..]), signatures[1], "{mode}");
        assert_eq!(chain.chunk(b""), signatures[2], "{mode}");
        if let Some((value, signature)) = trailer {
            assert_eq!(checksum(Algorithm::Crc32c, &data), value);
            assert_eq!(chain.trailer(&format!("x-amz-checksum-crc32c:{value}\n")), signature);
        }
    }
}
