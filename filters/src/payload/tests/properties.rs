//! What holds for any body and any split of it.
use super::*;
use proptest::prelude::*;

fn any_mode() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&MODES[..])
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(&Algorithm::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_split_decodes_alike(
        data in proptest::collection::vec(any::<u8>(), 0..40_000),
        mode in any_mode(),
        algorithm in any_algorithm(),
        chunks in proptest::collection::vec(8192usize..20_000, 0..4),
        splits in proptest::collection::vec(1usize..9000, 1..8),
    ) {
        let upload = Upload::new(mode, &data, &chunks, algorithm);
        let (received, _) = receive(&upload.wire, &upload.body(), CHUNKED, &splits).unwrap();
        prop_assert_eq!(received, data);
    }

    /// One byte changed is refused. Only the case of a size or of a header's name may differ: it changes nothing.
    #[test]
    fn any_single_byte_damage_is_refused(
        data in proptest::collection::vec(any::<u8>(), 1..20_000),
        mode in any_mode(),
        algorithm in any_algorithm(),
        at in any::<prop::sample::Index>(),
        near_the_end: bool,
        to: u8,
    ) {
        let upload = Upload::new(mode, &data, &[8192], algorithm);
        let mut body = upload.body();
        let window = if near_the_end { body.len().saturating_sub(250) } else { 0 };
        let at = window + at.index(body.len() - window);
        prop_assume!(body[at] != to);
        let only_case = body[at].eq_ignore_ascii_case(&to);
        body[at] = to;
        match receive(&upload.wire, &body, CHUNKED, &[5000, 13]) {
            Err(error) => prop_assert!(error.code.status() < 500, "{error}"),
            Ok((received, _)) => {
                prop_assert!(only_case, "byte {at} to {to}");
                prop_assert_eq!(received, data);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_answer(body in proptest::collection::vec(any::<u8>(), 0..3000), mode in any_mode()) {
        let upload = Upload::new(mode, b"hello", &[], Algorithm::Crc32);
        prop_assert!(receive(&upload.wire, &body, CHUNKED, &[100, 1]).is_err());
    }
}
