//! Peers and micro-benchmarks for `make bench`: an in-memory origin, a bare Pingora proxy, and the filters one by one.
mod micro;
mod origin;
mod pingora;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let port = |text: &str| text.parse::<u16>().ok();
    match words.as_slice() {
        ["origin", listen] if port(listen).is_some() => origin::serve(port(listen).unwrap_or_default()),
        ["pingora", listen, upstream] if port(listen).is_some() && port(upstream).is_some() => {
            pingora::serve(port(listen).unwrap_or_default(), port(upstream).unwrap_or_default());
        }
        ["micro"] => micro::run(),
        _ => {
            eprintln!("usage: s3gateway-bench origin PORT | pingora PORT UPSTREAM_PORT | micro");
            std::process::exit(2);
        }
    }
}
