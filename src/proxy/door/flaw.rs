//! What can be wrong with a request before anybody has read it, and with a client that sends or takes too slowly.
//!
//! Its own file, because these names are the labels of a metric and of log lines: each says exactly one thing.

use crate::proxy::refusal::Refusal;

macro_rules! flaws {
    ($($name:ident $label:literal $refusal:ident,)*) => {
        /// Why the door refused a request or let a connection go.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Flaw { $($name,)* }

        impl Flaw {
            /// In the order of their declaration: `ALL[f as usize]` is `f`.
            pub const ALL: [Self; [$($label),*].len()] = [$(Self::$name,)*];

            /// The label in metrics and in the log.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// What the client is told.
            pub const fn refusal(self) -> Refusal {
                match self { $(Self::$name => Refusal::$refusal,)* }
            }
        }
    };
}

flaws! {
    BareLf "bare-lf" BadRequest,
    Control "control-byte" BadRequest,
    EmptyLines "empty-lines" BadRequest,
    RequestLine "request-line" BadRequest,
    Method "method" BadRequest,
    MethodRefused "method-refused" MethodRefused,
    Target "target" BadRequest,
    Version "version" VersionRefused,
    Folded "folded-field" BadRequest,
    FieldName "field-name" BadRequest,
    NoHost "no-host" BadHost,
    TwoHosts "two-hosts" BadHost,
    Host "host" BadHost,
    HostDiffers "host-differs" BadHost,
    Length "content-length" BadRequest,
    Coding "transfer-encoding" BadRequest,
    CodingRefused "transfer-coding-unknown" CodingRefused,
    TwoFramings "two-framings" BadRequest,
    UriTooLong "uri-too-long" UriTooLong,
    HeadTooLarge "head-too-large" HeadTooLarge,
    Chunk "chunk" BadRequest,
    Trailer "trailer" BadRequest,
    SlowHead "slow-head" RequestTimeout,
    SlowBody "slow-body" RequestTimeout,
    SlowReader "slow-reader" RequestTimeout,
    IdleTunnel "idle-tunnel" RequestTimeout,
    Resets "stream-resets" BadRequest,
    ProvokedResets "provoked-resets" BadRequest,
    Flood "http2-flood" BadRequest,
    Handshake "tls-handshake" BadRequest,
    Connections "connections" Crowded,
    ConnectionsOfOne "connections-per-ip" Crowded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flaws_are_numbered_as_they_are_listed() {
        for (place, flaw) in Flaw::ALL.iter().enumerate() {
            assert_eq!(*flaw as usize, place);
        }
    }
}
