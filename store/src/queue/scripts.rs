//! The Redis scripts, each one its own file under `lua/` behind the shared `record.lua`.
use ::redis::Script as Sha1;
use std::sync::{LazyLock, OnceLock};

/// A script and the name that a Redis server knows it by.
pub(super) struct Script {
    pub(super) source: &'static str,
    pub(super) sha1: String,
    conducted: OnceLock<Sha1>,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, sha1: Sha1::new(source).get_hash().to_owned(), conducted: OnceLock::new() }
    }

    /// As it is run in a simulation.
    pub(super) fn conducted(&self) -> &Sha1 {
        self.conducted.get_or_init(|| Sha1::new(&format!("{}{}", include_str!("../lua/conducted.lua"), self.source)))
    }
}

macro_rules! scripts {
    ($($name:ident = $($part:ident)+;)+) => {
        pub(super) struct Scripts { $(pub(super) $name: Script),+ }

        pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
            $($name: Script::new(concat!($(include_str!(concat!("../lua/", stringify!($part), ".lua"))),+))),+
        });
    };
}
// Each with what stands before it.
scripts! {
    intent = record leases intent;
    commit = record leases commit;
    mark = record mark;
    release = record leases release;
    late = record leases late;
    look = record claims look;
    claim = record leases claims claim;
    extend = record claims extend;
    clear = record leases claims endings clear;
    retry = record claims retry;
    set_aside = record claims set_aside;
    bury = record leases claims endings bury;
    dead = record letters dead;
    dead_page = record letters dead_page;
    redrive = record redrive;
    depth = record depth;
    settle = record settle;
    sweep = record sweep;
    disturbance = record leases disturbance;
    hold = hold;
    known = known;
    meet = meet;
}
