//! The Redis scripts, each one its own file under `lua/` behind the shared `record.lua`.
use ::redis::Script as Sha1;
use std::sync::LazyLock;

/// A script and the name that a Redis server knows it by.
pub(super) struct Script {
    pub(super) source: &'static str,
    pub(super) sha1: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, sha1: Sha1::new(source).get_hash().to_owned() }
    }
}

macro_rules! scripts {
    ($($name:ident),+) => {
        pub(super) struct Scripts { $(pub(super) $name: Script),+ }

        pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
            $($name: Script::new(concat!(
                include_str!("../lua/record.lua"),
                include_str!(concat!("../lua/", stringify!($name), ".lua")),
            ))),+
        });
    };
}
scripts!(intent, commit, release, claim, extend, clear, retry, bury, dead, redrive, depth, sweep, disturbance);
