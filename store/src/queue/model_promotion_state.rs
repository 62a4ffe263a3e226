//! What the model of promotions is made of, and what a state must fulfil.

/// A guard that is left out, which the model must catch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// The last bytes leave though the view has run out.
    ReleaseIgnoresView,
    /// The last bytes leave though the view knows that writes are stopped.
    ReleaseIgnoresStop,
    /// A write that landed late is acknowledged whatever has become of its home.
    AnswersBlindly,
    /// The home moves before every view knows of the stop or has run out.
    MovesUnknown,
    /// A planned promotion moves the home while the key is dirty.
    MovesDirty,
    /// The new home takes writes before every view knows of it or has run out.
    OpensUnknown,
    /// A queue that lost its marks is believed.
    TrustsAfterLoss,
    /// A worker begins a copy by what it saw in an epoch that has ended.
    WorkerIgnoresEpoch,
    /// A forced promotion moves the home while a copy is on its way.
    MovesWhileCopying,
    /// A forced promotion lists nothing as stranded.
    StrandsNothing,
    /// A stranded key is converged as any other.
    ConvergesStranded,
    /// A stranded key is compared while a write of it is in flight at the new home.
    ComparesBesideWrites,
    /// What the old home holds always wins.
    OldHomeWins,
    /// What has lost is not set aside.
    KeepsNothing,
}

pub(super) struct Protocol {
    pub(super) flaw: Flaw,
    pub(super) forced: bool,
    /// The queue may lose all that it knows, once, before the promotion.
    pub(super) forgets: bool,
}

pub(super) const OLD: usize = 0;
pub(super) const NEW: usize = 1;

pub(super) fn home_in(epoch: u8) -> usize {
    if epoch == 0 { OLD } else { NEW }
}

pub(super) fn value_of(writer: usize) -> u8 {
    if writer == 0 { 1 } else { 2 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Writes {
    Taken,
    Stopped,
    Fenced,
}

/// The bucket's row, and what a view has read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Control {
    pub(super) home: usize,
    pub(super) epoch: u8,
    pub(super) writes: Writes,
}

/// With the epoch that it was admitted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Write {
    Idle,
    Marked(u8),
    Released(u8),
    Landed(u8),
    Committed(u8),
    Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lease {
    None,
    Alive,
    RanOut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Proxy {
    pub(super) view: Control,
    pub(super) is_fresh: bool,
    pub(super) write: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Worker {
    Idle,
    Claimed {
        epoch: u8,
    },
    /// The former home's value is on its way to the home.
    Bringing {
        epoch: u8,
        old: u8,
        new: u8,
    },
    Seen {
        epoch: u8,
        value: u8,
    },
    Copying {
        epoch: u8,
        value: u8,
    },
    Copied {
        epoch: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Promotion {
    None,
    Fenced,
    Looked,
    Moved,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stranded {
    None,
    Open,
    Overwritten,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// What the key holds at the old home and at the new one.
    pub(super) places: [u8; 2],
    pub(super) control: Control,
    pub(super) proxies: [Proxy; 2],
    pub(super) leases: [Lease; 2],
    pub(super) is_dirty: bool,
    pub(super) is_marked_since: bool,
    pub(super) is_suspect: bool,
    pub(super) has_forgotten: bool,
    pub(super) worker: Worker,
    pub(super) promotion: Promotion,
    /// The old home cannot be reached by workers; a proxy may still reach it.
    pub(super) is_away: bool,
    pub(super) stranded: Stranded,
    /// A write was admitted while the key was stranded.
    pub(super) met_stranded: [bool; 2],
    /// Values that stand aside, by bit.
    pub(super) kept: u8,
    /// The second write began after the first was answered.
    pub(super) follows_other: bool,
    /// What lost a comparison stands nowhere.
    pub(super) has_dropped: bool,
    /// The last bytes of a write left for a home that had been replaced.
    pub(super) has_strayed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    ReadFeed { at: usize },
    ViewRunsOut { at: usize },
    Mark { at: usize },
    Release { at: usize },
    Land { at: usize },
    Commit { at: usize },
    Answer { at: usize },
    LeaseRunsOut { at: usize },
    Forget,
    Back,
    Claim,
    See,
    Bring,
    BeginCopy,
    Copy,
    Clear,
    WorkerDies,
    Reconcile,
    Fence,
    GiveUp,
    Look,
    Move,
    Open,
}

impl State {
    pub(super) fn new() -> Self {
        let control = Control { home: OLD, epoch: 0, writes: Writes::Taken };
        Self {
            places: [0; 2],
            control,
            proxies: [Proxy { view: control, is_fresh: true, write: Write::Idle }; 2],
            leases: [Lease::None; 2],
            is_dirty: false,
            is_marked_since: false,
            is_suspect: false,
            has_forgotten: false,
            worker: Worker::Idle,
            promotion: Promotion::None,
            is_away: false,
            stranded: Stranded::None,
            met_stranded: [false; 2],
            kept: 0,
            follows_other: false,
            has_dropped: false,
            has_strayed: false,
        }
    }

    pub(super) fn mark(&mut self) {
        self.is_dirty = true;
        self.is_marked_since = true;
    }

    pub(super) fn can_reach(&self, place: usize) -> bool {
        place == NEW || !self.is_away
    }

    /// Whether the new home dates what it holds after the promotion.
    pub(super) fn is_dated_later(&self, at_new: u8) -> bool {
        let landed = |writer: usize| matches!(self.proxies[writer].write, Write::Landed(1) | Write::Committed(1));
        (0..2).any(|writer| landed(writer) && value_of(writer) == at_new)
    }

    fn is_answered(&self, writer: usize) -> bool {
        self.proxies[writer].write == Write::Answered
    }

    /// Whether a key that holds `value` may do so in the light of what was answered.
    pub(super) fn is_current(&self, value: u8) -> bool {
        let is_missed = |writer: usize| self.is_answered(writer) && !self.may_replace(writer, value);
        !is_missed(0) && !is_missed(1)
    }

    /// Whether `value` may stand where `writer`'s write has stood: it is that write, or one that was not over before it began.
    fn may_replace(&self, writer: usize, value: u8) -> bool {
        match value {
            0 => false,
            value if value == value_of(writer) => true,
            _ => !(writer == 1 && self.follows_other),
        }
    }

    /// Whether an answered write is at the home, rightly replaced, or aside.
    pub(super) fn is_safe(&self, writer: usize, at_home: u8) -> bool {
        let is_aside = self.kept & (1 << value_of(writer)) != 0 && !(writer == 1 && self.follows_other);
        !self.is_answered(writer) || self.may_replace(writer, at_home) || is_aside
    }

    /// Whether a proxy with this view, asked to read, gives what was acknowledged last, or refuses.
    pub(super) fn reads_right(&self, view: Control) -> bool {
        let refuses = view.home == NEW && self.stranded == Stranded::Open;
        refuses || self.is_current(self.places[view.home])
    }
}
