//! AMF0 (Adobe's "Action Message Format -- AMF 0"): the values of script data
//! in FLV and of commands in RTMP. `script.rs` reads `onMetaData` with it,
//! `rillcast-ingest-rtmp` its commands.
//!
//! Every decode is bounded in depth and in values by [`Limits`]; what a length
//! field announces is never allocated before the bytes are there.

use bytes::BufMut;

use crate::cursor::Cursor;

/// How much one message may hold. The default suits every publisher that we
/// know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    depth: usize,
    values: usize,
}

impl Limits {
    /// The deepest nesting that can be allowed. Reading, comparing, printing and
    /// dropping a value go as deep as it does: this much fits into a stack of
    /// 256 KiB many times over, also without optimisation (a test holds it).
    pub const MOST_DEPTH: usize = 64;

    /// The most values that can be allowed: some 100 MB of memory.
    pub const MOST_VALUES: usize = 1 << 20;

    /// Objects and arrays may nest `depth` deep, and a message may hold `values`
    /// values, all levels counted. More than [`MOST_DEPTH`](Self::MOST_DEPTH) or
    /// [`MOST_VALUES`](Self::MOST_VALUES) counts as that.
    #[must_use]
    pub fn new(depth: usize, values: usize) -> Self {
        Self {
            depth: depth.min(Self::MOST_DEPTH),
            values: values.min(Self::MOST_VALUES),
        }
    }

    /// How deep objects and arrays may nest.
    #[must_use]
    pub const fn depth(self) -> usize {
        self.depth
    }

    /// How many values one message may hold, all levels counted.
    #[must_use]
    pub const fn values(self) -> usize {
        self.values
    }
}

/// Real metadata nests three deep; a message of nested arrays costs its sender
/// five bytes a level, and a reader that follows all of them its stack. A value
/// takes at least one byte on the wire but many times that in memory; the
/// largest honest message (key frame indexes of a recorded file) stays far below.
impl Default for Limits {
    fn default() -> Self {
        Self::new(16, 16_384)
    }
}

/// One AMF0 value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number; AMF0 knows no integers.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A string, short or long. Bytes that are no UTF-8 were replaced by U+FFFD.
    String(String),
    /// An anonymous object.
    Object(Object),
    /// Null.
    Null,
    /// Undefined.
    Undefined,
    /// An associative array; written like an object with a count before it.
    EcmaArray(Object),
    /// An array of values.
    StrictArray(Vec<Value>),
    /// A point in time.
    Date {
        /// Milliseconds since 1970-01-01 UTC.
        millis: f64,
        /// Reserved by the specification, which wants 0: minutes from UTC with some senders.
        zone: i16,
    },
    /// An XML document as text.
    Xml(String),
    /// An object with a class name.
    TypedObject {
        /// The name of the class.
        class: String,
        /// Its properties.
        object: Object,
    },
    /// A value that AMF0 cannot carry, or a reference to another value, which
    /// is not followed.
    Unsupported,
}

/// The properties of an object in the order of the wire. A key may occur more
/// than once; [`Object::get`] gives the last, as players do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object(Vec<(String, Value)>);

/// Why bytes are no AMF0, or more of it than a message may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes end within a value.
    #[error("AMF0 data that ends within a value")]
    Truncated,
    /// Objects or arrays nest deeper than this, which [`Limits::depth`] says.
    #[error("AMF0 data nested more than {0} deep")]
    TooDeep(usize),
    /// More values than this, which [`Limits::values`] says.
    #[error("AMF0 data of more than {0} values")]
    TooManyValues(usize),
    /// A type marker that AMF0 does not know, 0x11 (a switch to AMF3) included.
    #[error("unknown AMF0 type marker {0:#04x}")]
    UnknownMarker(u8),
}

impl Value {
    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// True or false.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The properties of anything that has them.
    #[must_use]
    pub const fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) | Self::EcmaArray(object) | Self::TypedObject { object, .. } => {
                Some(object)
            }
            _ => None,
        }
    }

    /// Whether this is null or undefined.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Boolean(flag)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl Object {
    /// An object without properties.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a property at the end.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.push(key, value);
        self
    }

    /// Adds a property at the end.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        self.0.push((key.into(), value.into()));
    }

    /// The value of a property; of the last one if there are several of the name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.iter()
            .rev()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// The properties in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The number of properties.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no properties.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Decodes the first value and says how many bytes it took.
///
/// # Errors
/// An [`Error`] if the bytes do not begin with a whole value within the limits.
pub fn decode(bytes: &[u8], limits: Limits) -> Result<(Value, usize), Error> {
    let mut decoder = Decoder::new(bytes, limits);
    let value = decoder.value(0)?;
    Ok((value, bytes.len() - decoder.cursor.len()))
}

/// Decodes the values of a whole message.
///
/// # Errors
/// An [`Error`] if the bytes are anything but whole values within the limits.
pub fn decode_all(bytes: &[u8], limits: Limits) -> Result<Vec<Value>, Error> {
    match decode_some(bytes, limits) {
        (values, None) => Ok(values),
        (_, Some(error)) => Err(error),
    }
}

/// Decodes as many values as there are before the first error, which comes
/// with them: a command whose last argument is broken can still be answered.
#[must_use]
pub fn decode_some(bytes: &[u8], limits: Limits) -> (Vec<Value>, Option<Error>) {
    let mut decoder = Decoder::new(bytes, limits);
    let mut values = Vec::new();
    while !decoder.cursor.is_empty() {
        match decoder.value(0) {
            Ok(value) => values.push(value),
            Err(error) => return (values, Some(error)),
        }
    }
    (values, None)
}

/// Appends a value. Strings of more than 65,535 bytes are written as long
/// strings; keys and class names, which have no long form, are cut there.
/// An unsupported value is written as such.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.put_u8(NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(flag) => {
            out.put_u8(BOOLEAN);
            out.put_u8(u8::from(*flag));
        }
        Value::String(text) if text.len() <= usize::from(u16::MAX) => {
            out.put_u8(STRING);
            put_short(text, out);
        }
        Value::String(text) => {
            out.put_u8(LONG_STRING);
            put_long(text, out);
        }
        Value::Object(object) => {
            out.put_u8(OBJECT);
            put_properties(object, out);
        }
        Value::Null => out.put_u8(NULL),
        Value::Undefined => out.put_u8(UNDEFINED),
        Value::EcmaArray(object) => {
            out.put_u8(ECMA_ARRAY);
            out.put_u32(u32::try_from(object.len()).unwrap_or(u32::MAX));
            put_properties(object, out);
        }
        Value::StrictArray(values) => {
            let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
            out.put_u8(STRICT_ARRAY);
            out.put_u32(count);
            for (_, value) in (0..count).zip(values) {
                encode(value, out);
            }
        }
        Value::Date { millis, zone } => {
            out.put_u8(DATE);
            out.put_f64(*millis);
            out.put_i16(*zone);
        }
        Value::Xml(text) => {
            out.put_u8(XML);
            put_long(text, out);
        }
        Value::TypedObject { class, object } => {
            out.put_u8(TYPED_OBJECT);
            put_short(class, out);
            put_properties(object, out);
        }
        Value::Unsupported => out.put_u8(UNSUPPORTED),
    }
}

struct Decoder<'a> {
    cursor: Cursor<'a>,
    limits: Limits,
    values: usize,
}

impl<'a> Decoder<'a> {
    const fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            cursor: Cursor::new(bytes),
            limits,
            values: 0,
        }
    }

    /// Decodes one value that lies within `depth` others.
    fn value(&mut self, depth: usize) -> Result<Value, Error> {
        if depth > self.limits.depth {
            return Err(Error::TooDeep(self.limits.depth));
        }
        self.values += 1;
        if self.values > self.limits.values {
            return Err(Error::TooManyValues(self.limits.values));
        }
        let marker = some(self.cursor.u8())?;
        Ok(match marker {
            NUMBER => Value::Number(some(self.cursor.f64())?),
            BOOLEAN => Value::Boolean(some(self.cursor.u8())? != 0),
            STRING => Value::String(self.short()?),
            OBJECT => Value::Object(self.properties(depth)?),
            NULL => Value::Null,
            UNDEFINED => Value::Undefined,
            REFERENCE => {
                some(self.cursor.u16())?;
                Value::Unsupported
            }
            ECMA_ARRAY => {
                // The count is a hint that senders get wrong; the end marker counts.
                some(self.cursor.u32())?;
                Value::EcmaArray(self.properties(depth)?)
            }
            STRICT_ARRAY => self.array(depth)?,
            DATE => Value::Date {
                millis: some(self.cursor.f64())?,
                zone: some(self.cursor.i16())?,
            },
            LONG_STRING => Value::String(self.long()?),
            XML => Value::Xml(self.long()?),
            TYPED_OBJECT => Value::TypedObject {
                class: self.short()?,
                object: self.properties(depth)?,
            },
            UNSUPPORTED => Value::Unsupported,
            other => return Err(Error::UnknownMarker(other)),
        })
    }

    fn properties(&mut self, depth: usize) -> Result<Object, Error> {
        let mut object = Object::new();
        loop {
            // Some encoders leave out the end marker of the last object.
            if self.cursor.is_empty() {
                return Ok(object);
            }
            let key = self.short()?;
            if key.is_empty() && self.cursor.rest().first() == Some(&OBJECT_END) {
                some(self.cursor.u8())?;
                return Ok(object);
            }
            let value = self.value(depth + 1)?;
            object.0.push((key, value));
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Error> {
        let count = some(self.cursor.u32())?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(Value::StrictArray(values))
    }

    fn short(&mut self) -> Result<String, Error> {
        let len = some(self.cursor.u16())?;
        self.text(usize::from(len))
    }

    fn long(&mut self) -> Result<String, Error> {
        let len = some(self.cursor.u32())?;
        self.text(usize::try_from(len).map_err(|_| Error::Truncated)?)
    }

    fn text(&mut self, len: usize) -> Result<String, Error> {
        let bytes = some(self.cursor.take(len))?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }
}

fn some<T>(read: Option<T>) -> Result<T, Error> {
    read.ok_or(Error::Truncated)
}

fn put_properties(object: &Object, out: &mut Vec<u8>) {
    for (key, value) in object.iter() {
        put_short(key, out);
        encode(value, out);
    }
    out.put_u16(0);
    out.put_u8(OBJECT_END);
}

fn put_short(text: &str, out: &mut Vec<u8>) {
    let end = text.floor_char_boundary(usize::from(u16::MAX));
    let text = text.get(..end).unwrap_or_default();
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

fn put_long(text: &str, out: &mut Vec<u8>) {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.put_u32(len);
    out.extend(
        text.bytes()
            .take(usize::try_from(len).unwrap_or(usize::MAX)),
    );
}

const NUMBER: u8 = 0x00;
const BOOLEAN: u8 = 0x01;
const STRING: u8 = 0x02;
const OBJECT: u8 = 0x03;
const NULL: u8 = 0x05;
const UNDEFINED: u8 = 0x06;
const REFERENCE: u8 = 0x07;
const ECMA_ARRAY: u8 = 0x08;
const OBJECT_END: u8 = 0x09;
const STRICT_ARRAY: u8 = 0x0a;
const DATE: u8 = 0x0b;
const LONG_STRING: u8 = 0x0c;
const UNSUPPORTED: u8 = 0x0d;
const XML: u8 = 0x0f;
const TYPED_OBJECT: u8 = 0x10;

#[cfg(test)]
mod tests;
