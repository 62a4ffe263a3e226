//! The way from a worker's S3 clients to the simulated backends, below everything that the SDK does: a request takes its time, is
//! lost, refused, done or late as the weather has it, and is on its way once it is sent, whoever still waits for it.
use super::answers::{self, Answer, Falsehood};
use super::ask::Ask;
use super::seat;
use super::world::{Flaw, Role, Site, World};
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use s3gateway_worker::Transport;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// One worker's way.
#[derive(Clone)]
pub struct Wire {
    pub world: Arc<World>,
    pub actor: String,
}

/// A request that is on its way.
struct Sent {
    ask: Ask,
    /// The worker's claim by which it was sent.
    claim: Option<u64>,
}

type Answered = Result<HttpResponse, ConnectorError>;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Done,
    Lost,
    AnswerLost,
    Throttled,
    Broken,
    Hanging,
    Late,
}

impl Wire {
    pub fn transport(self) -> Transport {
        let time = SharedTimeSource::new(self.clone());
        let http = http_client_fn(move |settings, _| {
            SharedHttpConnector::new(Connector { wire: self.clone(), patience: settings.read_timeout() })
        });
        Transport::Simulated { http, time }
    }

    async fn exchange(self, mut request: HttpRequest, patience: Option<Duration>) -> Answered {
        let ask = Ask::read(&request);
        assert!(ask.header("authorization").is_some_and(|proof| proof.contains("Signature=")), "unsigned: {ask:?}");
        let site = self.world.site(&ask.backend);
        let claim = self.world.look_at(&self.actor, &site, &ask);
        let (body, is_whole) = collect(request.take_body()).await;
        let (answer, answered) = oneshot::channel();
        let wire = self.clone();
        tokio::spawn(async move {
            let _ = answer.send(wire.arrive(&site, Sent { ask, claim }, body, is_whole).await);
        });
        let answered = async { answered.await.unwrap_or_else(|_| Err(lost())) };
        match patience {
            Some(patience) => tokio::time::timeout(patience, answered)
                .await
                .unwrap_or_else(|_| Err(ConnectorError::timeout("no answer in time".into()))),
            None => answered.await,
        }
    }

    /// A request is on its way from here on.
    async fn arrive(&self, site: &Arc<Site>, sent: Sent, body: Bytes, is_whole: bool) -> Answered {
        let (stage, weather) = (&self.world.stage, self.world.weather());
        let under_way = self.world.under_way.clone();
        let most = if stage.happens(weather.slow) { 6000 } else { 30 };
        let turn = stage.turn(stage.within(1..=most)).await;
        let what = format!("{} {}", self.actor, sent.ask.name());
        if site.is_away(stage.millis()) {
            stage.note(&format!("{what}: away"));
            return Err(lost());
        }
        if !is_whole {
            return Err(self.break_off(site, &sent, body, &what));
        }
        let fate = self.decide(&sent.ask);
        let delay = match fate {
            Fate::Done | Fate::AnswerLost => None,
            Fate::Late => Some(stage.within(100..=8000)),
            _ => {
                stage.note(&format!("{what}: {fate:?}"));
                drop(turn);
                return match fate {
                    Fate::Throttled if stage.happens(300) => Ok(answers::error(429, "TooManyRequests")),
                    Fate::Throttled => Ok(answers::error(503, "SlowDown")),
                    Fate::Broken => Ok(answers::error(500, "InternalError")),
                    Fate::Hanging => {
                        drop(under_way);
                        std::future::pending().await
                    }
                    _ => Err(lost()),
                };
            }
        };
        if let Some(delay) = delay {
            stage.note(&format!("{what}: late"));
            let (wire, site) = (self.clone(), site.clone());
            tokio::spawn(async move {
                let _under_way = under_way;
                let _turn = wire.world.stage.turn(delay).await;
                wire.carry_out(&site, &sent, body, &format!("{what} at last"));
            });
            return Err(lost());
        }
        let is_read = sent.ask.method == "GET";
        let mut response = self.carry_out(site, &sent, body, &what);
        if fate == Fate::AnswerLost {
            stage.note(&format!("{what}: answer lost"));
            return Err(lost());
        }
        drop(turn);
        drop(stage.turn(stage.within(1..=10)).await);
        if is_read {
            self.dole_out(&mut response);
        }
        Ok(response)
    }

    fn decide(&self, ask: &Ask) -> Fate {
        let (stage, weather) = (&self.world.stage, self.world.weather());
        for (fate, likely) in [
            (Fate::Lost, weather.lost),
            (Fate::AnswerLost, weather.answer_lost),
            (Fate::Throttled, weather.throttled),
            (Fate::Broken, weather.broken),
            (Fate::Hanging, weather.hanging),
            (Fate::Late, if ask.changes() { weather.late } else { 0 }),
        ] {
            if stage.happens(likely) {
                return fate;
            }
        }
        Fate::Done
    }

    fn carry_out(&self, site: &Site, sent: &Sent, body: Bytes, what: &str) -> HttpResponse {
        let (stage, weather, ask) = (&self.world.stage, self.world.weather(), &sent.ask);
        let falsehood = match self.world.flaw {
            Flaw::UnseenLies if site.role == Role::Place && ask.method == "PUT" && stage.happens(300) => {
                Falsehood::OtherBytesUnseen
            }
            _ if site.role != Role::Home && stage.happens(weather.lies) => match stage.happens(300) {
                true => Falsehood::Nothing,
                false => Falsehood::OtherBytes,
            },
            _ => Falsehood::None,
        };
        if self.world.flaw == Flaw::FalseAbsence && site.role == Role::Home && self.world.denies(ask) {
            return if ask.method == "HEAD" { answers::empty(404) } else { answers::error(404, "NoSuchKey") };
        }
        let is_stale = stage.happens(weather.stale_lists);
        let answer = self.answer(site, ask, body, falsehood, is_stale);
        let false_word = if falsehood == Falsehood::None || !answer.changed { "" } else { ", falsely" };
        stage.note(&format!("{what}: {}{false_word}", answer.response.status().as_u16()));
        if answer.changed {
            self.world.landed_by(sent.claim, &self.actor, site, &ask.key);
        }
        answer.response
    }

    fn answer(&self, site: &Site, ask: &Ask, body: Bytes, falsehood: Falsehood, is_stale: bool) -> Answer {
        let mut held = site.held.lock().unwrap();
        held.now = self.world.stage.millis();
        answers::answer(&mut held, ask, body, falsehood, is_stale)
    }

    /// A body that broke off on its way up: nothing is kept, or a backend keeps what it has got.
    fn break_off(&self, site: &Site, sent: &Sent, body: Bytes, what: &str) -> ConnectorError {
        let (stage, ask) = (&self.world.stage, &sent.ask);
        let keeps = ask.method == "PUT" && !body.is_empty() && stage.happens(self.world.weather().torn);
        stage.note(&format!("{what}: broke off{}", if keeps { " and was kept" } else { "" }));
        if keeps {
            let mut torn = ask.clone();
            torn.headers.insert("content-length".to_owned(), body.len().to_string());
            let answer = self.answer(site, &torn, body, Falsehood::None, false);
            if answer.changed {
                self.world.landed_by(sent.claim, &self.actor, site, &ask.key);
            }
        }
        lost()
    }

    /// Has the body come down in pieces, each of which takes its time, and perhaps break off.
    fn dole_out(&self, response: &mut HttpResponse) {
        let stage = self.world.stage.clone();
        let Some(whole) = response.body().bytes().filter(|body| !body.is_empty()).map(Bytes::copy_from_slice) else {
            return;
        };
        let breaks = stage.happens(self.world.weather().cut);
        let piece = whole.len().div_ceil(2);
        let mut pieces: Vec<Option<Bytes>> =
            whole.chunks(piece).map(|piece| Some(Bytes::copy_from_slice(piece))).collect();
        if breaks {
            pieces.pop();
            pieces.push(None);
        }
        let frames = stream::unfold((stage, pieces.into_iter()), async |(stage, mut pieces)| {
            let piece = pieces.next()?;
            drop(stage.turn(stage.within(1..=10)).await);
            let frame = piece.map(Frame::data).ok_or_else(|| std::io::Error::other("the stream broke"));
            Some((frame, (stage, pieces)))
        });
        *response.body_mut() = SdkBody::from_body_1_x(StreamBody::new(frames.fuse()));
    }
}

/// What came of a body, and whether that is all of it.
async fn collect(mut body: SdkBody) -> (Bytes, bool) {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => all.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => return (all.freeze(), false),
        }
    }
    (all.freeze(), true)
}

fn lost() -> ConnectorError {
    ConnectorError::io("simulated".into())
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.actor)
    }
}

impl TimeSource for Wire {
    fn now(&self) -> SystemTime {
        let millis = u64::try_from(self.world.clocks().process).unwrap_or(seat::EPOCH.unsigned_abs());
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }
}

#[derive(Debug)]
struct Connector {
    wire: Wire,
    patience: Option<Duration>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.wire.clone().exchange(request, self.patience))
    }
}
