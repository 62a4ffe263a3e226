//! The record of everything that was begun and answered: lines of JSON in a file that only grows, each synced to disk
//! before it counts.
//! So what was acknowledged is known even where this process or its machine dies, and can be judged again later.
use super::history::{Effect, History, Outcome};
use crate::failure::{During, Failure};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Notes that wait for one sync; every client waits for its own.
const WAITING: usize = 1024;

/// What a run is about; the first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Of the load and of all bytes.
    pub seed: u64,
    /// The logical bucket.
    pub bucket: String,
    /// What every key of the run begins with.
    pub prefix: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Run(Run),
    Begin { id: u64, key: String, effect: Effect },
    End { id: u64, outcome: Outcome },
}

struct Note {
    lines: Vec<u8>,
    synced: oneshot::Sender<()>,
}

/// A ledger that is being written.
pub struct Ledger {
    notes: mpsc::Sender<Note>,
    next: AtomicU64,
}

impl Ledger {
    /// Begins a new file; the task ends, with what went wrong if anything did, once the ledger is dropped.
    ///
    /// # Errors
    /// Where the file is there already or cannot be written.
    pub fn create(path: &Path, run: &Run) -> Result<(Self, JoinHandle<Result<(), Failure>>), Failure> {
        let what = format!("--ledger {}", path.display());
        let mut file = OpenOptions::new().create_new(true).append(true).open(path).during(&what)?;
        let first = render(&[Line::Run(run.clone())])?;
        file.write_all(&first).and_then(|()| file.sync_all()).during(&what)?;
        let (notes, waiting) = mpsc::channel(WAITING);
        let writer = tokio::task::spawn_blocking(move || write(file, waiting).during(&what));
        Ok((Self { notes, next: AtomicU64::new(1) }, writer))
    }

    /// Notes what is about to be sent; gives the id of each.
    ///
    /// # Errors
    /// Where the file can no longer be written: nothing more may be sent then.
    pub async fn begin(&self, writes: &[(&str, &Effect)]) -> Result<Vec<u64>, Failure> {
        let mut ids = Vec::with_capacity(writes.len());
        let mut lines = Vec::with_capacity(writes.len());
        for (key, effect) in writes {
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            ids.push(id);
            lines.push(Line::Begin { id, key: (*key).to_owned(), effect: (*effect).clone() });
        }
        self.note(&lines).await?;
        Ok(ids)
    }

    /// Notes how writes were answered.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub async fn end(&self, answers: &[(u64, Outcome)]) -> Result<(), Failure> {
        let lines: Vec<_> = answers.iter().map(|&(id, outcome)| Line::End { id, outcome }).collect();
        self.note(&lines).await
    }

    async fn note(&self, lines: &[Line]) -> Result<(), Failure> {
        let gone = || Failure::new("the ledger can no longer be written");
        let (synced, done) = oneshot::channel();
        self.notes.send(Note { lines: render(lines)?, synced }).await.map_err(|_| gone())?;
        done.await.map_err(|_| gone())
    }
}

fn render(lines: &[Line]) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).during("writing the ledger")?;
        text.push(b'\n');
    }
    Ok(text)
}

/// All notes that are there share one sync.
fn write(mut file: File, mut waiting: mpsc::Receiver<Note>) -> std::io::Result<()> {
    while let Some(first) = waiting.blocking_recv() {
        let mut synced = vec![first.synced];
        file.write_all(&first.lines)?;
        while let Ok(more) = waiting.try_recv() {
            file.write_all(&more.lines)?;
            synced.push(more.synced);
        }
        file.sync_data()?;
        for done in synced {
            let _ = done.send(());
        }
    }
    Ok(())
}

/// A ledger as it was left.
#[derive(Debug)]
pub struct Replayed {
    /// Its first line.
    pub run: Run,
    /// What may be true of each key.
    pub keys: BTreeMap<String, History>,
    /// Writes begun.
    pub begun: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Writes without an answer.
    pub unknown: u64,
}

/// Reads a ledger; a last line that was cut off was not synced and so never counted.
///
/// # Errors
/// Where the file cannot be read or is no ledger.
pub fn replay(path: &Path) -> Result<Replayed, Failure> {
    let what = format!("--ledger {}", path.display());
    let mut lines = BufReader::new(File::open(path).during(&what)?).lines();
    let no_ledger = |path: &Path| Failure::of_input(format!("--ledger {}: is no ledger of `soak`", path.display()));
    let first = lines.next().ok_or_else(|| no_ledger(path))?.during(&what)?;
    let Ok(Line::Run(run)) = serde_json::from_str(&first) else { return Err(no_ledger(path)) };
    let mut replayed = Replayed { run, keys: BTreeMap::new(), begun: 0, acknowledged: 0, unknown: 0 };
    let mut open = BTreeMap::new();
    let mut is_cut = false;
    for line in lines {
        if is_cut {
            return Err(no_ledger(path));
        }
        match serde_json::from_str(&line.during(&what)?) {
            Ok(Line::Begin { id, key, effect }) => {
                replayed.begun += 1;
                replayed.keys.entry(key.clone()).or_default().begin(&effect);
                open.insert(id, (key, effect));
            }
            Ok(Line::End { id, outcome }) => {
                let (key, effect) = open.remove(&id).ok_or_else(|| no_ledger(path))?;
                replayed.end(&key, &effect, outcome);
            }
            Ok(Line::Run(_)) => return Err(no_ledger(path)),
            Err(_) => is_cut = true,
        }
    }
    for (key, effect) in open.into_values() {
        replayed.end(&key, &effect, Outcome::Unknown);
    }
    Ok(replayed)
}

impl Replayed {
    fn end(&mut self, key: &str, effect: &Effect, outcome: Outcome) {
        match outcome {
            Outcome::Acknowledged => self.acknowledged += 1,
            Outcome::Unknown => self.unknown += 1,
            Outcome::Refused => {}
        }
        self.keys.entry(key.to_owned()).or_default().end(effect, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::{content::Content, history::State};

    #[tokio::test]
    async fn what_was_noted_is_read_back_also_where_the_last_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let run = Run { seed: 4, bucket: "b".into(), prefix: "soak-4/".into() };
        let (ledger, writer) = Ledger::create(&path, &run).unwrap();
        let put = |version| {
            let content = Content { key: "k".into(), version, size: 9 };
            Effect::Becomes(State { content, tag: None })
        };
        let ids = ledger.begin(&[("k", &put(1)), ("l", &Effect::Gone)]).await.unwrap();
        ledger.end(&[(ids[0], Outcome::Acknowledged), (ids[1], Outcome::Refused)]).await.unwrap();
        ledger.begin(&[("k", &put(2))]).await.unwrap();
        drop(ledger);
        writer.await.unwrap().unwrap();
        for end in ["", "{\"line\":\"end\",\"i"] {
            OpenOptions::new().append(true).open(&path).unwrap().write_all(end.as_bytes()).unwrap();
            let replayed = replay(&path).unwrap();
            assert_eq!((replayed.begun, replayed.acknowledged, replayed.unknown), (3, 1, 1), "{end}");
            assert_eq!(replayed.run, run);
            assert_eq!(replayed.keys["k"].allowed().len(), 2, "a write without an end has happened or not");
            assert_eq!(replayed.keys["l"].exact(), Some(None));
        }
        assert!(Ledger::create(&path, &run).is_err(), "no ledger is written over");
        std::fs::write(&path, "something else\n").unwrap();
        assert!(replay(&path).unwrap_err().message.contains("is no ledger"));
    }
}
