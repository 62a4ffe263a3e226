//! Replays what is checked in of every target: seeds, and inputs that once found something.
use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_passes() {
    for (name, check) in s3gateway_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            println!("{}", path.display()); // shown where the check fails
            check(&fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs >= 5, "{name} has {inputs} inputs");
    }
}
