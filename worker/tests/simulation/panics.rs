//! Whether anything panicked on this thread: a task that does so ends alone, and a worker goes on without it.
use std::cell::RefCell;
use std::sync::Once;

thread_local! {
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From here on panics of this thread are noted.
pub fn forget() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            SEEN.with_borrow_mut(|seen| *seen = Some(info.to_string()));
            usual(info);
        }));
    });
    SEEN.take();
}

/// The last one.
pub fn seen() -> Option<String> {
    SEEN.take()
}
