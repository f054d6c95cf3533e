//! No path makes the route table panic, and no spelling of a path goes around its route.
#![no_main]

use ficus::proxy::routes::{RouteSpec, Routes, normal_path};
use http::Method;
use libfuzzer_sys::fuzz_target;

const PATHS: [&str; 6] = [
    "/",
    "/dashboard",
    "/dashboard/{*rest}",
    "/campaign/send-email/{*rest}",
    "/campaign/schedule-email/{campaign}/{template}/store",
    "/a/{b}/c",
];

fuzz_target!(|path: &str| {
    let table = Routes::build(PATHS.iter().map(|path| RouteSpec {
        path,
        methods: &[],
        host: None,
        target: *path,
    }))
    .expect("a good table");
    let normal = normal_path(path).into_owned();
    assert!(normal.starts_with('/'));
    assert!(!normal.contains("//"));
    assert!(
        normal
            .split('/')
            .all(|segment| segment != "." && segment != "..")
    );
    assert!(normal.len() == 1 || !normal.ends_with('/'));
    let found = table.find(None, &Method::GET, path);
    // The normal form finds what the path itself finds, unless a second layer of encoding is undone by it.
    if !normal.contains(['%', '?', '#']) {
        assert_eq!(found, table.find(None, &Method::GET, &normal), "{path:?}");
    }
    // An empty or a dot segment more changes nothing.
    if path.starts_with('/') {
        assert_eq!(
            found,
            table.find(None, &Method::GET, &format!("/.{path}")),
            "{path:?}"
        );
        assert_eq!(
            found,
            table.find(None, &Method::GET, &format!("/{path}")),
            "{path:?}"
        );
    }
});
