//! Header fields into a head that pingora made, at the least cost.
//!
//! Its own file for one trick: pingora keeps each name twice, once as it was spelt, and copies the name of every field
//! that is put in. A head that is taken apart and put together again has one map and takes our names as they are. The
//! price is that names leave in lower case, as HTTP/2 has them and HAProxy and Envoy send them too (docs/adr/0120).

use std::mem;

use http::{HeaderMap, HeaderName, HeaderValue, request, response};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

/// A head that fields can be put into.
pub trait Fields {
    fn map(&self) -> &HeaderMap;

    /// In the place of every field of this name.
    fn put(&mut self, name: &'static HeaderName, value: HeaderValue) -> Result<()>;

    /// Beside the fields of this name.
    fn add(&mut self, name: &'static HeaderName, value: HeaderValue) -> Result<()>;

    fn remove(&mut self, name: &HeaderName);
}

impl Fields for HeaderMap {
    fn map(&self) -> &HeaderMap {
        self
    }

    fn put(&mut self, name: &'static HeaderName, value: HeaderValue) -> Result<()> {
        self.insert(name, value);
        Ok(())
    }

    fn add(&mut self, name: &'static HeaderName, value: HeaderValue) -> Result<()> {
        self.append(name, value);
        Ok(())
    }

    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }
}

/// pingora's two heads have the same methods, and no trait for them.
macro_rules! fields_of {
    ($($head:ty)*) => {$(
        impl Fields for $head {
            fn map(&self) -> &HeaderMap {
                &self.headers
            }

            fn put(&mut self, name: &'static HeaderName, value: HeaderValue) -> Result<()> {
                self.insert_header(name.as_str(), value)
            }

            fn add(&mut self, name: &'static HeaderName, value: HeaderValue) -> Result<()> {
                self.append_header(name.as_str(), value).map(drop)
            }

            fn remove(&mut self, name: &HeaderName) {
                self.remove_header(name);
            }
        }
    )*};
}

fields_of! { RequestHeader ResponseHeader }

/// Changes a request's fields. `more`: how many are put in at most.
pub fn change_request(
    head: &mut RequestHeader,
    keep_case: bool,
    more: usize,
    change: impl FnOnce(&mut dyn Fields) -> Result<()>,
) -> Result<()> {
    if keep_case {
        return change(head);
    }
    // A target that its URI does not hold whole, such as one in absolute form, is kept beside it.
    let of_uri = head.uri.path_and_query().map(|target| target.as_str());
    let odd = of_uri.is_none_or(|target| target.as_bytes() != head.raw_path());
    let target = odd.then(|| head.raw_path().to_vec());
    let empty = RequestHeader::from(http::Request::new(()).into_parts().0);
    let mut parts = request::Parts::from(mem::replace(head, empty));
    parts.headers.reserve(more);
    change(&mut parts.headers)?;
    *head = RequestHeader::from(parts);
    target.map_or(Ok(()), |target| head.set_raw_path(&target))
}

/// Changes an answer's fields. `more`: how many are put in at most.
pub fn change_response(
    head: &mut ResponseHeader,
    keep_case: bool,
    more: usize,
    change: impl FnOnce(&mut dyn Fields) -> Result<()>,
) -> Result<()> {
    if keep_case {
        return change(head);
    }
    let phrase = head.get_reason_phrase();
    let own = phrase.filter(|_| phrase != head.status.canonical_reason());
    let own = own.map(str::to_owned);
    let empty = ResponseHeader::from(http::Response::new(()).into_parts().0);
    let mut parts = response::Parts::from(mem::replace(head, empty));
    parts.headers.reserve(more);
    change(&mut parts.headers)?;
    *head = ResponseHeader::from(parts);
    own.map_or(Ok(()), |own| head.set_reason_phrase(Some(&own)))
}

#[cfg(test)]
mod tests {
    use super::*;

    static OURS: HeaderName = HeaderName::from_static("x-ours");

    fn wire(head: &RequestHeader) -> String {
        let mut text = Vec::new();
        head.header_to_h1_wire(&mut text);
        String::from_utf8(text).unwrap()
    }

    fn changed(target: &[u8], keep_case: bool) -> RequestHeader {
        let mut head = RequestHeader::build("GET", target, None).unwrap();
        for (name, value) in [("Host", "a.example"), ("X-Fancy", "1"), ("x-FANCY", "2")] {
            head.append_header(name, value).unwrap();
        }
        let put = |fields: &mut dyn Fields| {
            assert!(fields.map().contains_key("x-fancy"));
            fields.put(&OURS, HeaderValue::from_static("yes"))
        };
        change_request(&mut head, keep_case, 1, put).unwrap();
        head
    }

    #[test]
    fn fields_are_put_in_whether_names_keep_their_case_or_not() {
        assert_eq!(
            wire(&changed(b"/", true)),
            "Host: a.example\r\nX-Fancy: 1\r\nx-FANCY: 2\r\nx-ours: yes\r\n"
        );
        assert_eq!(
            wire(&changed(b"/", false)),
            "Host: a.example\r\nx-fancy: 1\r\nx-fancy: 2\r\nx-ours: yes\r\n"
        );
    }

    #[test]
    fn every_form_of_target_survives() {
        for target in [
            &b"/"[..],
            b"/a?b=%20",
            b"*",
            b"http://a.example/b?c",
            b"/\xff\xfe?d",
            b"?only-a-query",
        ] {
            let head = changed(target, false);
            assert_eq!(head.raw_path(), target);
            assert_eq!(head.raw_path_is_utf8(), std::str::from_utf8(target).is_ok());
        }
    }

    #[test]
    fn a_status_keeps_its_own_phrase() {
        for phrase in [None, Some("Fine"), Some("")] {
            let mut head = ResponseHeader::build(200, None).unwrap();
            head.append_header("X-Powered-By", "PHP").unwrap();
            if phrase.is_some() {
                head.set_reason_phrase(phrase).unwrap();
            }
            let before = head.get_reason_phrase().map(str::to_owned);
            let put = |fields: &mut dyn Fields| {
                fields.remove(&OURS);
                fields.put(&OURS, HeaderValue::from_static("yes"))
            };
            change_response(&mut head, false, 1, put).unwrap();
            assert_eq!(head.get_reason_phrase(), before.as_deref());
            assert_eq!(head.headers["x-ours"], "yes");
            assert_eq!(head.headers["x-powered-by"], "PHP");
        }
    }
}
