//! Questions to a store that many jobs ask at the same time go over together: whoever comes while one is under way joins the next.
//! A question is answered by what is asked after it came, never by an older answer.
use async_trait::async_trait;
use s3gateway_store::StoreError;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// Most questions that go over together.
const MOST: usize = 256;

/// What is asked together.
#[async_trait]
pub(crate) trait Ask: Send + Sync {
    type Question: Clone + Send + Sync;
    type Answer: Send;

    /// Answers all, in their order. Safe to repeat.
    async fn ask(&self, questions: &[Self::Question]) -> Result<Vec<Self::Answer>, StoreError>;
}

type Waiting<A> = (<A as Ask>::Question, oneshot::Sender<Result<<A as Ask>::Answer, StoreError>>);

/// Joins the questions of one kind.
pub(crate) struct Batch<A: Ask> {
    asked: A,
    waiting: Mutex<Vec<Waiting<A>>>,
    turn: tokio::sync::Mutex<()>,
}

impl<A: Ask> Batch<A> {
    pub(crate) fn new(asked: A) -> Self {
        Self { asked, waiting: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }

    /// Asks, alone or with others. An error is this question's own, but for a store that is away.
    ///
    /// Cancel: safe to drop; what others asked with it they ask again.
    pub(crate) async fn ask(&self, question: A::Question) -> Result<A::Answer, StoreError> {
        loop {
            let (sender, mut answer) = oneshot::channel();
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((question.clone(), sender));
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => match answer {
                        Ok(answer) => return answer,
                        // Whoever asked for all was dropped on the way.
                        Err(_) => break,
                    },
                    _turn = self.turn.lock() => self.ask_all().await,
                }
            }
        }
    }

    async fn ask_all(&self) {
        let batch: Vec<Waiting<A>> = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let count = waiting.len().min(MOST);
            waiting.drain(..count).filter(|(_, sender)| !sender.is_closed()).collect()
        };
        let (questions, senders): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        if questions.is_empty() {
            return;
        }
        match self.asked.ask(&questions).await {
            Ok(answers) => {
                for (sender, answer) in senders.into_iter().zip(answers) {
                    let _ = sender.send(Ok(answer));
                }
            }
            Err(StoreError::Unavailable(why)) => {
                for sender in senders {
                    let _ = sender.send(Err(StoreError::Unavailable(why.to_string().into())));
                }
            }
            // One of them is to blame.
            Err(_) => {
                for (question, sender) in questions.iter().zip(senders) {
                    let alone = self.asked.ask(std::slice::from_ref(question)).await;
                    let answer = alone.and_then(|answers| {
                        answers.into_iter().next().ok_or(StoreError::Corrupt("a question without an answer"))
                    });
                    let _ = sender.send(answer);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[derive(Default)]
    struct Doubling {
        rounds: AtomicUsize,
    }

    #[async_trait]
    impl Ask for Arc<Doubling> {
        type Question = u32;
        type Answer = u32;

        async fn ask(&self, questions: &[u32]) -> Result<Vec<u32>, StoreError> {
            self.rounds.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            match questions {
                _ if questions.contains(&666) => Err(StoreError::Unavailable("away".into())),
                _ if questions.contains(&13) => Err(StoreError::NotFound),
                _ => Ok(questions.iter().map(|n| n * 2).collect()),
            }
        }
    }

    fn doubling() -> (Arc<Doubling>, Batch<Arc<Doubling>>) {
        let asked = Arc::new(Doubling::default());
        (asked.clone(), Batch::new(asked))
    }

    #[tokio::test]
    async fn who_asks_meanwhile_is_answered_together() {
        let (asked, batch) = doubling();
        let answers = futures::future::join_all((100..150).map(|n| batch.ask(n))).await;
        let answers: Vec<u32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (100..150).map(|n| n * 2).collect::<Vec<_>>());
        assert!(asked.rounds.load(Ordering::Relaxed) <= 3);
    }

    #[tokio::test]
    async fn one_that_fails_fails_alone_unless_the_store_is_away() {
        let (_, batch) = doubling();
        let answers = futures::future::join_all([1, 13, 2].map(|n| batch.ask(n))).await;
        assert!(matches!(answers[..], [Ok(2), Err(StoreError::NotFound), Ok(4)]), "{answers:?}");
        let answers = futures::future::join_all([1, 666, 2].map(|n| batch.ask(n))).await;
        assert!(answers.iter().skip(1).all(|answer| matches!(answer, Err(StoreError::Unavailable(_)))), "{answers:?}");
    }

    #[tokio::test]
    async fn one_that_is_dropped_takes_nobody_with_it() {
        let (_, batch) = doubling();
        let first = async { tokio::time::timeout(Duration::from_millis(1), batch.ask(1)).await };
        let (first, second, third) = tokio::join!(first, batch.ask(2), batch.ask(3));
        assert!(first.is_err());
        assert_eq!((second.unwrap(), third.unwrap()), (4, 6));
    }
}
