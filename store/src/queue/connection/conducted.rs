//! In a simulation: one connection to a real server, whose operations happen, and whose clock and run id are, as a conductor says.
use super::{Script, unavailable};
use crate::conductor::{Conductor, conduct};
use crate::{Millis, StoreError};
use ::redis::{Arg, Client, Cmd, Connection, RedisResult, Value};
use std::sync::{Arc, Mutex, PoisonError};

/// One process's way to the server.
pub(crate) struct Conducted {
    conductor: Arc<dyn Conductor>,
    link: Mutex<Connection>,
}

impl Conducted {
    /// # Errors
    /// `Unavailable` where the server does not answer.
    pub(crate) fn new(url: &str, conductor: Arc<dyn Conductor>) -> Result<Self, StoreError> {
        let link = Client::open(url).and_then(|client| client.get_connection()).map_err(unavailable)?;
        Ok(Self { conductor, link: Mutex::new(link) })
    }

    /// Runs a script, which is told the time and the run id.
    pub(super) async fn run(&self, script: &Script, keys: &[String], args: &[&[u8]]) -> Result<Value, StoreError> {
        let run = |link: &mut Connection| {
            let mut invocation = script.conducted().prepare_invoke();
            invocation.key(keys).arg(args).arg(micros(self.conductor.clocks().database)).arg(self.conductor.run_id());
            invocation.invoke(link)
        };
        self.conduct(run).await
    }

    /// Sends one plain command.
    pub(super) async fn send(&self, cmd: &Cmd) -> Result<Value, StoreError> {
        let send = |link: &mut Connection| match cmd.args_iter().next() {
            Some(Arg::Simple(b"INFO")) => {
                Ok(Value::BulkString(format!("run_id:{}", self.conductor.run_id()).into_bytes()))
            }
            _ => cmd.query(link),
        };
        self.conduct(send).await
    }

    async fn conduct(
        &self,
        operation: impl FnOnce(&mut Connection) -> RedisResult<Value>,
    ) -> Result<Value, StoreError> {
        let operation = async {
            let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
            operation(&mut link).map_err(unavailable)
        };
        conduct(self.conductor.as_ref(), operation).await
    }
}

fn micros(millis: Millis) -> i64 {
    millis.saturating_mul(1000)
}
