//! The RFCs' own examples.
//!
//! Its own file, because these are what other implementations agree with.

use super::*;
use crate::identity::jwt::key::{Key, decode_url};

/// RFC 7515, A.1.1: `{"iss":"joe", "exp":1300819380, "http://example.com/is_root":true}`, with line ends.
const PAYLOAD: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EXP: i64 = 1_300_819_380;

/// RFC 7515, A.1.
const HS256: (&str, &str, &str) = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9",
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
);

/// RFC 7515, A.2.
const RS256: (&str, &str, &str) = (
    "eyJhbGciOiJSUzI1NiJ9",
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    r#"{"keys":[{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}]}"#,
);

/// RFC 7515, A.3.
const ES256: (&str, &str, &str) = (
    "eyJhbGciOiJFUzI1NiJ9",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#,
);

fn of_joe() -> Expected {
    Expected {
        issuer: Some("joe".to_owned()),
        ..expected()
    }
}

/// Good a second before its end, changed nowhere, and of nobody else.
fn is_joes(vector: (&str, &str, &str), algorithm: Algorithm, keys: &KeySet) {
    let (header, signature, _) = vector;
    let token = format!("{header}.{PAYLOAD}.{signature}");
    let verified = verify(&token, algorithm, keys, &of_joe(), EXP - 1).unwrap();
    assert_eq!((verified.tenant, verified.user), (None, None));
    assert_eq!(
        verify(&token, algorithm, keys, &of_joe(), EXP + 30),
        Err(Unresolved::Expired)
    );
    let other = Expected {
        issuer: Some("jane".to_owned()),
        ..expected()
    };
    assert_eq!(
        verify(&token, algorithm, keys, &other, EXP - 1),
        Err(Unresolved::Unrecognised)
    );
}

#[test]
fn rfc_7515_a_1_is_verified() {
    let secret = base64::engine::general_purpose::STANDARD.encode(decode_url(HS256.2).unwrap());
    let keys = KeySet::of_text(Algorithm::Hs256, &format!("base64:{secret}")).unwrap();
    is_joes(HS256, Algorithm::Hs256, &keys);
}

#[test]
fn rfc_7515_a_2_and_a_3_are_verified() {
    for (vector, algorithm) in [(RS256, Algorithm::Rs256), (ES256, Algorithm::Es256)] {
        let keys = KeySet::of_document(algorithm, vector.2).unwrap();
        is_joes(vector, algorithm, &keys);
    }
}

#[test]
fn rfc_8037_a_4_is_verified_and_its_text_is_no_token() {
    let key = Key::ed25519(&decode_url("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap());
    let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(key.verifies(signed.as_bytes(), &decode_url(signature).unwrap()));
    let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = KeySet::of_document(Algorithm::EdDsa, set).unwrap();
    assert_eq!(
        verify(
            &format!("{signed}.{signature}"),
            Algorithm::EdDsa,
            &keys,
            &expected(),
            NOW
        ),
        Err(Unresolved::Malformed)
    );
}

#[test]
fn rfc_7519_6_1_the_unsecured_token_is_refused() {
    let token = format!("eyJhbGciOiJub25lIn0.{PAYLOAD}.");
    for algorithm in Algorithm::ALL {
        assert_eq!(
            verify(&token, algorithm, &keys(algorithm), &expected(), EXP - 1),
            Err(Unresolved::WrongAlgorithm)
        );
    }
}
