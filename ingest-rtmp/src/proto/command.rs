//! Commands (specification sections 7.1.1 and 7.2): a name, a transaction id
//! and arguments, as AMF0 values.
//!
//! The values themselves are `rillcast-media`'s, which reads metadata by the
//! same code. What the commands do is in `session/commands.rs`.

use bytes::Bytes;
use rillcast_media::flv::amf0::{self, Object, Value};

use super::message::kind;

/// A command as it arrives.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its name, for example `connect`.
    pub name: String,
    /// The id that an answer must carry; 0 if none is wanted.
    pub transaction: f64,
    /// The command object and what follows it.
    pub arguments: Vec<Value>,
}

impl Command {
    /// [`read_within`](Self::read_within) the default limits.
    ///
    /// # Errors
    /// As there.
    pub fn read(message_kind: u8, body: &[u8]) -> Result<Option<Self>, amf0::Error> {
        Self::read_within(message_kind, body, amf0::Limits::default())
    }

    /// Reads a command message. Arguments that cannot be read end the list: the
    /// ones before them often are all that is needed (Flash switches to AMF3
    /// for the last). `None` if there is not even a name.
    ///
    /// # Errors
    /// Data that nests deeper or holds more values than `limits` allow.
    pub fn read_within(
        message_kind: u8,
        body: &[u8],
        limits: amf0::Limits,
    ) -> Result<Option<Self>, amf0::Error> {
        let body = match (message_kind, body.split_first()) {
            // Type 17 begins with a byte of its own, which is 0 in practice.
            (kind::COMMAND_AMF3, Some((_, rest))) => rest,
            _ => body,
        };
        let (values, error) = amf0::decode_some(body, limits);
        if let Some(error) = error.filter(|error| setting_of(*error).is_some()) {
            return Err(error);
        }
        let mut values = values.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Ok(None);
        };
        let transaction = values
            .next()
            .and_then(|value| value.as_f64())
            .unwrap_or(0.0);
        let arguments = values.collect();
        Ok(Some(Self {
            name,
            transaction,
            arguments,
        }))
    }

    /// The command object, or an empty one.
    #[must_use]
    pub fn object(&self) -> &Object {
        const EMPTY: &Object = &Object::new();
        self.arguments
            .first()
            .and_then(Value::as_object)
            .unwrap_or(EMPTY)
    }

    /// The text of the argument at `index`, counted from the one behind the
    /// command object.
    #[must_use]
    pub fn text(&self, index: usize) -> Option<&str> {
        self.arguments.get(index + 1)?.as_str()
    }

    /// The number at `index`, counted as in [`text`](Self::text).
    #[must_use]
    pub fn number(&self, index: usize) -> Option<f64> {
        self.arguments.get(index + 1)?.as_f64()
    }

    /// The body of this command as an AMF0 message (type 20).
    #[must_use]
    pub fn write(&self) -> Bytes {
        let head = [
            Value::from(self.name.as_str()),
            Value::from(self.transaction),
        ];
        let mut body = Vec::new();
        for value in head.iter().chain(&self.arguments) {
            amf0::encode(value, &mut body);
        }
        body.into()
    }

    /// The answer to a command that went well: its properties (or the lack of
    /// them, null) and its information.
    #[must_use]
    pub fn result(
        transaction: f64,
        properties: impl Into<Value>,
        information: impl Into<Value>,
    ) -> Self {
        Self {
            name: "_result".to_owned(),
            transaction,
            arguments: vec![properties.into(), information.into()],
        }
    }

    /// The answer to a command that did not.
    #[must_use]
    pub fn error(transaction: f64, status: &Status) -> Self {
        Self {
            name: "_error".to_owned(),
            transaction,
            arguments: vec![Value::Null, status.to_object().into()],
        }
    }

    /// A command of ours that wants no answer, for example `onStatus`.
    #[must_use]
    pub fn notice(name: &str, information: Option<Object>) -> Self {
        let mut arguments = vec![Value::Null];
        arguments.extend(information.map(Value::from));
        Self {
            name: name.to_owned(),
            transaction: 0.0,
            arguments,
        }
    }
}

/// What an `onStatus` says (section 7.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether it is an error; else it is of the level "status".
    pub error: bool,
    /// The code that a client's program looks at.
    pub code: &'static str,
    /// The sentence that its user may see.
    pub description: String,
}

impl Status {
    /// News.
    #[must_use]
    pub fn new(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            error: false,
            code,
            description: description.into(),
        }
    }

    /// Bad news.
    #[must_use]
    pub fn error(code: &'static str, description: impl Into<String>) -> Self {
        Self {
            error: true,
            ..Self::new(code, description)
        }
    }

    /// As the information object of an answer.
    #[must_use]
    pub fn to_object(&self) -> Object {
        Object::new()
            .with("level", if self.error { "error" } else { "status" })
            .with("code", self.code)
            .with("description", self.description.as_str())
    }
}

/// The setting that a message of such data goes beyond.
pub(crate) fn setting_of(error: amf0::Error) -> Option<&'static str> {
    match error {
        amf0::Error::TooDeep(_) => Some("rtmp.max_amf_depth"),
        amf0::Error::TooManyValues(_) => Some("rtmp.max_amf_values"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_read_as_it_is_written() {
        let command = Command {
            name: "publish".to_owned(),
            transaction: 5.0,
            arguments: vec![Value::Null, "cam".into(), "live".into()],
        };
        let body = command.write();
        assert_eq!(
            Command::read(kind::COMMAND_AMF0, &body),
            Ok(Some(command.clone()))
        );
        let amf3 = [&[0], &body[..]].concat();
        assert_eq!(
            Command::read(kind::COMMAND_AMF3, &amf3),
            Ok(Some(command.clone()))
        );
        assert_eq!(
            (command.text(0), command.text(1), command.text(2)),
            (Some("cam"), Some("live"), None)
        );
    }

    #[test]
    fn what_can_be_read_is_used() {
        let whole = Command {
            name: "call".to_owned(),
            transaction: 7.0,
            arguments: vec![Value::Null],
        };
        // A switch to AMF3, and a string that is cut off.
        for tail in [&[0x11, 0x0A, 0x0B, 0x01][..], &[2, 0, 9, b'x']] {
            let body = [&whole.write()[..], tail].concat();
            assert_eq!(
                Command::read(kind::COMMAND_AMF0, &body),
                Ok(Some(whole.clone()))
            );
        }
        let name_only = Command::read(kind::COMMAND_AMF0, &[2, 0, 1, b'x'])
            .unwrap()
            .unwrap();
        assert_eq!((name_only.name.as_str(), name_only.transaction), ("x", 0.0));
        assert_eq!(name_only.object(), &Object::new());
        for nothing in [&[][..], &[5], &[2, 0, 9], &[0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Command::read(kind::COMMAND_AMF0, nothing), Ok(None));
        }
    }

    #[test]
    fn nesting_without_end_is_an_error() {
        let mut body = whole_name();
        body.extend([10, 0, 0, 0, 1].repeat(10_000));
        assert_eq!(
            Command::read(kind::COMMAND_AMF0, &body),
            Err(amf0::Error::TooDeep(16))
        );
    }

    fn whole_name() -> Vec<u8> {
        Command::notice("x", None).write().to_vec()
    }
}
