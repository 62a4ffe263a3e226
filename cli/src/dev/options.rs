//! What `dev` may be told.
use clap::Args;
use std::{net::IpAddr, path::PathBuf};

/// Folder, addresses and ports; all have defaults.
#[derive(Debug, Args)]
pub struct DevOptions {
    /// Folder that holds everything
    #[arg(long, value_name = "DIR", default_value = ".s3gateway")]
    pub state: PathBuf,
    /// Loopback address to listen on
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port of the S3 endpoint; the next free one if taken; 0: any
    #[arg(long, default_value_t = 9000)]
    pub port: u16,
    /// Port of the admin API; the next free one if taken; 0: any
    #[arg(long, default_value_t = 9001)]
    pub admin_port: u16,
    /// Ports of the three backends, comma-separated; the next free ones if taken; 0: any
    #[arg(long, value_name = "PORTS", value_delimiter = ',', default_values_t = [9010, 9011, 9012], num_args = 1..=3)]
    pub backend_ports: Vec<u16>,
    /// Once everything answers, write endpoints and keys to this file as JSON
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or TARGET=LEVEL pairs
    #[arg(long, value_name = "LEVEL", env = "S3GATEWAY_LOG_LEVEL", default_value = "warn")]
    pub log_level: String,
}
