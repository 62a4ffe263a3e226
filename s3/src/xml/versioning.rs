//! The state of a bucket's versioning.
//! Source: Amazon S3 API Reference, "PutBucketVersioning" and "GetBucketVersioning".
use super::{
    Writer, XmlError,
    reader::{Document, check_size, malformed, set_once},
};
use crate::{S3Code, S3Error, Versioning};

/// `VersioningConfiguration`, from clients and backends and for both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersioningConfiguration(pub Versioning);

impl VersioningConfiguration {
    /// Most bytes that a client may send.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Parses a client's document.
    ///
    /// # Errors
    /// `MalformedXML` for any state but `Enabled` and `Suspended`; `NotImplemented` for `MfaDelete`, which nothing here
    /// could hold deletes to; `MissingRequestBodyError`, `MaxMessageLengthExceeded`.
    pub fn parse_request(xml: &[u8]) -> Result<Self, S3Error> {
        check_size(xml, Self::MAX_BYTES)?;
        let (mut status, mut mfa) = (None, None);
        let document = Document::enter_as(xml, "VersioningConfiguration").map_err(malformed)?;
        document
            .root_children(|name, document| match name {
                "Status" => set_once(&mut status, document.text()?),
                "MfaDelete" => set_once(&mut mfa, document.text()?),
                _ => Err(XmlError::Schema),
            })
            .map_err(malformed)?;
        match mfa.as_deref() {
            None | Some("Disabled") => {}
            Some("Enabled") => {
                return Err(
                    S3Code::NotImplemented.because("MfaDelete is not implemented: send the configuration without it.")
                );
            }
            Some(_) => return Err(malformed(XmlError::Schema)),
        }
        let state = status.as_deref().and_then(Versioning::from_status);
        state.map(Self).ok_or_else(|| malformed(XmlError::Schema))
    }

    /// Parses a backend's answer; without a status it was never set.
    ///
    /// # Errors
    /// [`XmlError`] where it is none, or names a state that S3 does not have.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        let mut state = Versioning::Never;
        Document::enter_as(xml, "VersioningConfiguration")?.root_children(|name, document| {
            match name {
                "Status" => match document.text()?.as_str() {
                    "" => {}
                    status => state = Versioning::from_status(status).ok_or(XmlError::Schema)?,
                },
                _ => document.skip()?,
            }
            Ok::<_, XmlError>(())
        })?;
        Ok(Self(state))
    }

    /// The document.
    pub fn render(self) -> String {
        let mut out = Writer::document();
        out.open_root("VersioningConfiguration");
        out.optional("Status", self.0.status());
        out.close("VersioningConfiguration");
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_may_set() {
        let parse = |inside: &str| {
            let xml = format!("<VersioningConfiguration>{inside}</VersioningConfiguration>");
            VersioningConfiguration::parse_request(xml.as_bytes()).map(|c| c.0).map_err(|e| e.code)
        };
        for (inside, want) in [
            ("<Status>Enabled</Status>", Ok(Versioning::Enabled)),
            ("<Status>Suspended</Status><MfaDelete>Disabled</MfaDelete>", Ok(Versioning::Suspended)),
            ("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>", Err(S3Code::NotImplemented)),
            ("<MfaDelete>Enabled</MfaDelete>", Err(S3Code::NotImplemented)),
            ("<Status>Enabled</Status><MfaDelete>Maybe</MfaDelete>", Err(S3Code::MalformedXML)),
            ("<Status>enabled</Status>", Err(S3Code::MalformedXML)),
            ("<Status>Enabled</Status><Status>Suspended</Status>", Err(S3Code::MalformedXML)),
            ("<Other/>", Err(S3Code::MalformedXML)),
            ("", Err(S3Code::MalformedXML)),
        ] {
            assert_eq!(parse(inside), want, "{inside}");
        }
        assert_eq!(
            VersioningConfiguration::parse_request(b"").map_err(|e| e.code),
            Err(S3Code::MissingRequestBodyError)
        );
    }

    #[test]
    fn what_backends_say() {
        for state in [Versioning::Never, Versioning::Enabled, Versioning::Suspended] {
            let document = VersioningConfiguration(state).render();
            assert_eq!(VersioningConfiguration::parse(document.as_bytes()), Ok(VersioningConfiguration(state)));
        }
        let mfa =
            b"<VersioningConfiguration><Status></Status><MfaDelete>Disabled</MfaDelete></VersioningConfiguration>";
        assert_eq!(VersioningConfiguration::parse(mfa), Ok(VersioningConfiguration(Versioning::Never)));
        assert!(VersioningConfiguration::parse(b"<Error/>").is_err());
    }
}
