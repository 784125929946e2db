//! From a completed document to the typed file, without a copy of the document in between.
//!
//! Does not know settings. Tested by `tests/config.rs`.

use serde::Deserialize as _;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use toml::{Table, Value};

use super::file::File;

/// The typed form of `complete`.
///
/// # Errors
/// A value is of another type than its field.
pub(super) fn file(complete: &Table) -> Result<File, Error> {
    File::deserialize(MapDeserializer::new(pairs(complete)))
}

fn pairs(table: &Table) -> impl Iterator<Item = (&str, Borrowed<'_>)> {
    table.iter().map(|(key, value)| (key.as_str(), Borrowed(value)))
}

/// A value that is borrowed, not copied.
#[derive(Debug, Clone, Copy)]
struct Borrowed<'v>(&'v Value);

impl<'de> IntoDeserializer<'de, Error> for Borrowed<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Borrowed<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(values) => {
                visitor.visit_seq(SeqDeserializer::new(values.iter().map(Borrowed)))
            }
            Value::Table(table) => visitor.visit_map(MapDeserializer::new(pairs(table))),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let word = self.0.as_str().ok_or_else(|| Error::custom("is not a text"))?;
        visitor.visit_enum(word.into_deserializer())
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
