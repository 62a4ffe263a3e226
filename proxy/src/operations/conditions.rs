//! Conditions on writes, on every backend: decided here by what stands at the home, while no other write of the key is
//! in flight through any gateway, and left to the backend to hold as well where it can.
use super::home::etag_of;
use crate::{
    admit::Routed, answer::RequestId, gateway::Gateway, refusal::Refusal, upstream::UpstreamRequest,
    version::NamedVersion,
};
use s3gateway_config::Capabilities;
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request,
    etag::{ETag, ETagCondition, unquoted},
};
use s3gateway_store::{DirtyKey, queue::Mark};

/// The conditions that a write is under.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WriteConditions {
    if_match: Option<ETagCondition>,
    /// `If-None-Match: *`, the only form that S3 knows on writes.
    if_absent: bool,
    raw: Vec<(&'static str, String)>,
    /// What they are about, where that is not the current version.
    version: Option<NamedVersion>,
}

impl WriteConditions {
    /// Parses `If-Match` and `If-None-Match`.
    ///
    /// # Errors
    /// `NotImplemented` for a form that S3 does not know on writes, `InvalidArgument` for one that is malformed or given twice.
    pub(crate) fn parse(request: &S3Request) -> Result<Self, S3Error> {
        for unknown in ["if-modified-since", "if-unmodified-since"] {
            if request.headers.contains_key(unknown) {
                return Err(not_implemented(unknown));
            }
        }
        let if_match = one(request, "if-match")?;
        let if_none_match = one(request, "if-none-match")?;
        let parsed = if_match.map(ETagCondition::parse).transpose();
        let parsed = parsed.map_err(|_| {
            super::parameters::invalid("If-Match", if_match.unwrap_or_default(), "If-Match holds no ETag.")
        })?;
        if if_none_match.is_some_and(|value| ETagCondition::parse(value) != Ok(ETagCondition::Any)) {
            return Err(not_implemented("if-none-match with an ETag"));
        }
        let raw = [("if-match", if_match), ("if-none-match", if_none_match)];
        let raw = raw.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned()))).collect();
        Ok(Self { if_match: parsed, if_absent: if_none_match.is_some(), raw, version: None })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Decides by what stands at the key now; `None`: nothing.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` where `If-Match` names an object that is not there.
    fn decide(&self, current: Option<&ETag>) -> Result<(), S3Error> {
        match (&self.if_match, current) {
            (Some(_), None) => return Err(S3Code::NoSuchKey.error()),
            (Some(condition), Some(_)) if !condition.matches_strong(current) => {
                return Err(S3Code::PreconditionFailed.error().with("Condition", "If-Match"));
            }
            _ => {}
        }
        match current {
            Some(_) if self.if_absent => Err(S3Code::PreconditionFailed.error().with("Condition", "If-None-Match")),
            _ => Ok(()),
        }
    }

    /// The condition that one object of DeleteObjects is under: its ETag, or any.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no ETag.
    pub(super) fn on_etag(etag: &str) -> Result<Self, S3Error> {
        let parsed = ETagCondition::parse(etag)
            .map_err(|_| super::parameters::invalid("ETag", etag, "ETag of an object to delete is none."))?;
        let raw = vec![("if-match", etag.to_owned())];
        Ok(Self { if_match: Some(parsed), if_absent: false, raw, version: None })
    }

    /// The same conditions, on the version that a delete names.
    pub(super) fn of_version(self, version: Option<&NamedVersion>) -> Self {
        Self { version: version.cloned(), ..self }
    }

    /// Adds the conditions to the request that they are about, in the form that the backend takes; one that holds none
    /// is not given any.
    pub(crate) fn put_on(&self, capabilities: &Capabilities, request: UpstreamRequest) -> UpstreamRequest {
        if !capabilities.conditional_writes {
            return request;
        }
        self.raw.iter().fold(request, |request, (name, value)| {
            match *name == "if-match" && !capabilities.quoted_if_match {
                true => request.header(name, unquoted(value.trim())),
                false => request.header(name, value.clone()),
            }
        })
    }
}

fn one<'r>(request: &'r S3Request, name: &'static str) -> Result<Option<&'r str>, S3Error> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = std::str::from_utf8(value.as_bytes()).ok();
            text.map(Some).ok_or_else(|| super::parameters::invalid(name, "", format!("{name} holds no ETag.")))
        }
        (Some(_), Some(_)) => Err(super::parameters::invalid(name, "", format!("{name} must be given once."))),
    }
}

fn not_implemented(what: &str) -> S3Error {
    S3Code::NotImplemented.because(format!("The condition {what} is not implemented for this operation."))
}

impl Gateway {
    /// Marks a key for a write under these conditions, maybe none; where there are some, they hold until it is settled.
    /// `is_alone`: no other write may come in between, as tags follow it or are kept here, in the order in which the home carries
    /// the writes out.
    ///
    /// # Errors
    /// As [`Gateway::intent`] or [`Gateway::intent_alone`], [`Gateway::require_taken`] and [`Gateway::decide_conditions`]:
    /// then no mark is left.
    pub(crate) async fn intent_under(
        &self,
        conditions: &WriteConditions,
        is_alone: bool,
        routed: &Routed,
        dirty: &DirtyKey,
        request_id: RequestId,
    ) -> Result<Mark, Refusal> {
        let mark = match (conditions.is_empty(), is_alone) {
            (true, false) => self.intent(dirty, request_id).await?,
            (true, true) => self.intent_alone(dirty, request_id, S3Code::SlowDown).await?,
            (false, _) => self.intent_alone(dirty, request_id, S3Code::ConditionalRequestConflict).await?,
        };
        let decided = async {
            self.require_taken(routed, &dirty.key).await?;
            self.decide_conditions(routed, &dirty.key, conditions).await
        };
        match decided.await {
            Ok(()) => Ok(mark),
            Err(refusal) => {
                self.release(dirty, &mark).await;
                Err(refusal)
            }
        }
    }

    /// Decides conditions by what stands at the key now. They hold from then on only under a lease that is alone.
    ///
    /// # Errors
    /// `PreconditionFailed`; `NoSuchKey` where `If-Match` names an object that is not there; an outage of the home.
    pub(crate) async fn decide_conditions(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        conditions: &WriteConditions,
    ) -> Result<(), Refusal> {
        if conditions.is_empty() {
            return Ok(());
        }
        self.require_no_stranded(routed, key).await?;
        let current = match self.head_at_home(routed, key, conditions.version.as_ref()).await {
            Ok(answer) => ETag::parse(etag_of(&answer)).ok(),
            Err(refusal) if matches!(refusal.to_s3().code, S3Code::NoSuchKey | S3Code::NoSuchVersion) => None,
            Err(refusal) => return Err(refusal),
        };
        Ok(conditions.decide(current.as_ref())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn parse(headers: &[(&'static str, &'static str)]) -> Result<WriteConditions, S3Code> {
        let request = super::super::testing::request(Method::DELETE, "/mine/k", headers);
        WriteConditions::parse(&request).map_err(|e| e.code)
    }

    #[test]
    fn decisions() {
        let a = ETag::parse("a").expect("an ETag");
        for (header, on_none, on_a) in [
            (("if-match", "\"a\""), Err(S3Code::NoSuchKey), Ok(())),
            (("if-match", "*"), Err(S3Code::NoSuchKey), Ok(())),
            (("if-match", "\"b\""), Err(S3Code::NoSuchKey), Err(S3Code::PreconditionFailed)),
            (("if-none-match", "*"), Ok(()), Err(S3Code::PreconditionFailed)),
        ] {
            let conditions = parse(&[header]).expect("conditions");
            assert_eq!(conditions.decide(None).map_err(|e| e.code), on_none, "{header:?}");
            assert_eq!(conditions.decide(Some(&a)).map_err(|e| e.code), on_a, "{header:?}");
        }
        assert!(parse(&[]).is_ok_and(|c| c.is_empty()));
    }

    #[test]
    fn an_etag_goes_up_as_the_backend_takes_it() {
        let physical = s3gateway_s3::PhysicalBucket::parse("s3gw-0").expect("a name");
        for (quoted_if_match, want) in [(true, "\\\"a\\\""), (false, "\"a\"")] {
            let capabilities = Capabilities { quoted_if_match, conditional_writes: true, ..Capabilities::default() };
            let conditions = parse(&[("if-match", "\"a\"")]).expect("conditions");
            let request = conditions.put_on(&capabilities, UpstreamRequest::new(Method::DELETE, &physical, None));
            assert!(format!("{request:?}").contains(want), "{request:?}");
        }
    }

    #[test]
    fn forms_that_are_refused() {
        for (headers, want) in [
            (&[("if-none-match", "\"a\"")][..], S3Code::NotImplemented),
            (&[("if-match", "\"")], S3Code::InvalidArgument),
            (&[("if-unmodified-since", "Fri, 02 Jan 2026 03:04:05 GMT")], S3Code::NotImplemented),
        ] {
            assert_eq!(parse(headers).err(), Some(want), "{headers:?}");
        }
    }
}
