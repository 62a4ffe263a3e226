//! How likely each fault is while a schedule's weather lasts. Each seed has its own: some faults often, most never, so that one does
//! not hide what another would show.
use super::stage::Stage;

/// Likelihoods in per mille of each request or operation, unless said otherwise.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// A request does not arrive.
    pub lost: u32,
    /// It is done, and its answer does not arrive.
    pub answer_lost: u32,
    /// It is answered with 503 or 429.
    pub throttled: u32,
    /// It is answered with 500.
    pub broken: u32,
    /// It is not answered at all.
    pub hanging: u32,
    /// The connection breaks, and the request lands long after.
    pub late: u32,
    /// A body that comes down breaks off.
    pub cut: u32,
    /// What broke off on its way up is kept as if it were whole.
    pub torn: u32,
    /// A replica answers 200 and has kept other bytes, or none.
    pub lies: u32,
    /// A listing shows what was there before.
    pub stale_lists: u32,
    /// A backend takes seconds instead of milliseconds.
    pub slow: u32,
    /// An operation on the database fails before it has begun.
    pub store_away: u32,
    /// An operation on the queue is done, and nobody hears of it.
    pub store_mute: u32,
    /// A proxy dies between its write and its commit.
    pub proxy_dies: u32,
    /// In each second: a worker dies.
    pub worker_dies: u32,
    /// In each second: Redis goes away for some seconds.
    pub redis_goes_away: u32,
    /// In each second: Redis is restarted, and has lost what it was told in the last second.
    pub redis_forgets: u32,
    /// In each second: a backend goes away for some seconds.
    pub goes_away: u32,
    /// In each second: a clock jumps.
    pub jumps: u32,
    /// In each second: somebody changes a replica behind the gateway's back.
    pub meddling: u32,
}

impl Weather {
    /// The weather of a seed. `on_redis`: whether the queue is there.
    pub fn draw(stage: &Stage, on_redis: bool) -> Self {
        if stage.happens(100) {
            return Self { throttled: u32::try_from(stage.within(50..=400)).unwrap(), ..Self::default() };
        }
        let some = |often: u64| match stage.happens(350) {
            true => u32::try_from(stage.within(1..=often)).unwrap(),
            false => 0,
        };
        let drawn = Self {
            lost: some(100),
            answer_lost: some(100),
            throttled: some(200),
            broken: some(100),
            hanging: some(30),
            late: some(60),
            cut: some(150),
            torn: some(500),
            lies: some(150),
            stale_lists: some(500),
            slow: some(80),
            store_away: some(40),
            store_mute: some(60),
            proxy_dies: some(250),
            worker_dies: some(250),
            redis_goes_away: some(150),
            redis_forgets: some(300),
            goes_away: some(200),
            jumps: some(150),
            meddling: some(250),
        };
        match on_redis {
            false => Self { redis_goes_away: 0, redis_forgets: 0, ..drawn },
            // What Redis has forgotten is found in listings.
            true if drawn.redis_forgets > 0 => Self { stale_lists: 0, ..drawn },
            true => drawn,
        }
    }

    /// Whether a backend does nothing worse than to ask for patience.
    pub fn only_throttles(&self) -> bool {
        let Self { throttled, .. } = *self;
        let others = format!("{:?}", Self { throttled: 0, ..self.clone() });
        throttled > 0 && others == format!("{:?}", Self::default())
    }
}
