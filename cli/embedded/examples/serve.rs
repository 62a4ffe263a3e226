//! The server alone, for suites that speak to it directly: `serve FOLDER ADDRESS`, keys as the AWS tools have them.
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3gateway_embedded::{Store, serve};
use std::{env, error::Error, path::PathBuf};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(folder), Some(address)) = (arguments.next(), arguments.next()) else {
        return Err("usage: serve FOLDER ADDRESS".into());
    };
    let store = Store::open(&PathBuf::from(folder)).await?;
    let service = serve(store, env::var("AWS_ACCESS_KEY_ID")?, env::var("AWS_SECRET_ACCESS_KEY")?);
    let listener = TcpListener::bind(address).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection);
    }
}
