//! Finds one entry of an array that PHP's `serialize` wrote, and skips the rest of it.
//!
//! Its own file, because it is a grammar: <https://www.php.net/manual/en/function.serialize.php>, and PHP 8's
//! `ext/standard/var_unserializer.re` for what the manual leaves out. It is stricter than PHP: it takes what `serialize`
//! writes and nothing else that `unserialize` would put up with. Objects are skipped and never made.

/// Arrays and objects within each other. PHP takes no form field that is nested deeper than 64 (`max_input_nesting_level`),
/// and a session keeps such fields a few levels below its top.
const DEPTH_LIMIT: usize = 128;

/// Keys and values of everything in it: work is bounded, whatever the lengths say.
const VALUE_LIMIT: usize = 200_000;

/// A value as far as anybody here wants to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Int(i64),
    /// Bytes: PHP's strings are no texts.
    Text(&'a [u8]),
    Other,
}

/// The bytes are nothing that `serialize` writes, or beyond the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no array as PHP's serialize writes it")]
pub struct Unreadable;

/// The value at `key` in the array, itself and not below it. `None`: the array has no such key.
/// An array that has it twice is refused: PHP writes none, and would take the last.
pub fn find<'a>(serialized: &'a [u8], key: &[u8]) -> Result<Option<Value<'a>>, Unreadable> {
    let mut reader = Reader::new(serialized);
    reader.take(b"a:")?;
    let count = reader.length()?;
    reader.take(b":{")?;
    let mut found = None;
    for _ in 0..count {
        let is_wanted = reader.key()? == Value::Text(key);
        let value = reader.value(1)?;
        if is_wanted && found.replace(value).is_some() {
            return Err(Unreadable);
        }
    }
    reader.take(b"}")?;
    reader.end()?;
    Ok(found)
}

/// The string that is all of it: what is left when a string was serialized once more.
pub fn text(serialized: &[u8]) -> Result<&[u8], Unreadable> {
    let mut reader = Reader::new(serialized);
    let Value::Text(text) = reader.value(1)? else {
        return Err(Unreadable);
    };
    reader.end()?;
    Ok(text)
}

struct Reader<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Reader<'a> {
    fn new(serialized: &'a [u8]) -> Self {
        Self {
            rest: serialized,
            left: VALUE_LIMIT,
        }
    }

    /// A key of an array, or a property's name: PHP has no others.
    fn key(&mut self) -> Result<Value<'a>, Unreadable> {
        match self.value(DEPTH_LIMIT)? {
            Value::Other => Err(Unreadable),
            key => Ok(key),
        }
    }

    /// `depth` is how many arrays and objects it stands in.
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Unreadable> {
        self.left = self.left.checked_sub(1).ok_or(Unreadable)?;
        match self.byte()? {
            b'i' => {
                let number = self.between(b':', b';')?;
                return Ok(Value::Int(integer(number)?));
            }
            b's' => {
                let text = self.quoted()?;
                self.take(b";")?;
                return Ok(Value::Text(text));
            }
            b'N' => self.take(b";")?,
            b'b' => match self.between(b':', b';')? {
                b"0" | b"1" => {}
                _ => return Err(Unreadable),
            },
            b'd' => {
                let number = self.between(b':', b';')?;
                let fits = |b: &u8| b.is_ascii_digit() || b"+-.EINFA".contains(b);
                if number.is_empty() || !number.iter().all(fits) {
                    return Err(Unreadable);
                }
            }
            // A second mention of an earlier value, by its number.
            b'r' | b'R' => drop(length(self.between(b':', b';')?)?),
            b'a' => {
                self.take(b":")?;
                self.entries(depth)?;
            }
            b'O' => {
                self.quoted()?;
                self.take(b":")?;
                self.entries(depth)?;
            }
            // An object that writes itself (`Serializable`): bytes of its own making.
            b'C' => {
                self.quoted()?;
                self.take(b":")?;
                let length = self.length()?;
                self.take(b":{")?;
                self.bytes(length)?;
                self.take(b"}")?;
            }
            // A case of an enumeration.
            b'E' => {
                self.quoted()?;
                self.take(b";")?;
            }
            _ => return Err(Unreadable),
        }
        Ok(Value::Other)
    }

    /// `count:{key value …}`
    fn entries(&mut self, depth: usize) -> Result<(), Unreadable> {
        if depth >= DEPTH_LIMIT {
            return Err(Unreadable);
        }
        let count = self.length()?;
        self.take(b":{")?;
        for _ in 0..count {
            self.key()?;
            self.value(depth + 1)?;
        }
        self.take(b"}")
    }

    /// `:length:"bytes"`
    fn quoted(&mut self) -> Result<&'a [u8], Unreadable> {
        self.take(b":")?;
        let length = self.length()?;
        self.take(b":\"")?;
        let text = self.bytes(length)?;
        self.take(b"\"")?;
        Ok(text)
    }

    /// Digits up to what is no digit.
    fn length(&mut self) -> Result<usize, Unreadable> {
        let digits = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        length(self.bytes(digits)?)
    }

    fn between(&mut self, open: u8, close: u8) -> Result<&'a [u8], Unreadable> {
        self.take(&[open])?;
        // A number is short; what is longer is none.
        let end = self.rest.iter().take(40).position(|&b| b == close);
        let inner = self.bytes(end.ok_or(Unreadable)?)?;
        self.take(&[close])?;
        Ok(inner)
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        Ok(self.bytes(1)?[0])
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Unreadable)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take(&mut self, expected: &[u8]) -> Result<(), Unreadable> {
        self.rest = self.rest.strip_prefix(expected).ok_or(Unreadable)?;
        Ok(())
    }

    fn end(&self) -> Result<(), Unreadable> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }
}

/// As PHP writes a length: no sign, no zero in front.
fn length(digits: &[u8]) -> Result<usize, Unreadable> {
    match digits {
        b"0" => return Ok(0),
        [b'1'..=b'9', ..] => {}
        _ => return Err(Unreadable),
    }
    parse(digits)
}

fn integer(text: &[u8]) -> Result<i64, Unreadable> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    length(digits)?;
    parse(text)
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Result<T, Unreadable> {
    let text = std::str::from_utf8(text).map_err(|_| Unreadable)?;
    text.parse().map_err(|_| Unreadable)
}

#[cfg(test)]
mod tests;
