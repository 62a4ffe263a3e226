//! Takes the ports that were asked for, or the next free ones, and says so.
use super::options::DevOptions;
use crate::failure::{During, Failure};
use std::net::{IpAddr, SocketAddr, TcpListener};

/// Ports tried after one that is taken.
const TRIES: u16 = 100;

/// Listeners that are held from now on; the S3 port is only known to be free, as Pingora binds it itself.
pub struct Bound {
    /// Of the gateway.
    pub s3: SocketAddr,
    /// Of the admin API.
    pub admin: TcpListener,
    /// Of the backends, in their order.
    pub backends: Vec<TcpListener>,
}

/// Binds everything. The S3 port is chosen while all others are held, so that none of them takes it.
pub fn bind(options: &DevOptions) -> Result<Bound, Failure> {
    let mut asked = options.backend_ports.clone();
    // Fewer than three were given: the others follow the last one.
    while let (Some(last), true) = (asked.last().copied(), asked.len() < 3) {
        asked.push(if last == 0 { 0 } else { last.saturating_add(1) });
    }
    let s3 = listen(options.host, options.port, "S3 endpoint")?;
    let admin = listen(options.host, options.admin_port, "admin API")?;
    let mut backends = Vec::new();
    for port in asked {
        backends.push(listen(options.host, port, "backend")?);
    }
    let address = s3.local_addr().during("the S3 port")?;
    drop(s3);
    Ok(Bound { s3: address, admin, backends })
}

fn listen(host: IpAddr, port: u16, what: &str) -> Result<TcpListener, Failure> {
    for offset in 0..TRIES {
        let Some(candidate) = port.checked_add(offset) else { break };
        match TcpListener::bind((host, candidate)) {
            Ok(listener) => {
                if candidate != port {
                    eprintln!("port {port} is taken: the {what} listens on {candidate}");
                }
                listener.set_nonblocking(true).during("a listener")?;
                return Ok(listener);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => {
                return Err(Failure::while_doing(&format!("listening on {host}:{candidate} for the {what}"), &error));
            }
        }
    }
    Err(Failure::new(format!("no free port from {port} on for the {what}; choose another one")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_taken_port_gives_the_next_free_one() {
        let host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let taken = TcpListener::bind((host, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let next = listen(host, port, "test").unwrap().local_addr().unwrap().port();
        assert!(next > port && next <= port + TRIES, "{port} {next}");
        assert_ne!(listen(host, 0, "test").unwrap().local_addr().unwrap().port(), 0);
    }

    #[test]
    fn all_ports_differ() {
        let options = DevOptions {
            state: "x".into(),
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            admin_port: 0,
            backend_ports: vec![0],
            ready_file: None,
            log_level: "warn".into(),
        };
        let bound = bind(&options).unwrap();
        let mut ports: Vec<u16> =
            bound.backends.iter().chain([&bound.admin]).map(|l| l.local_addr().unwrap().port()).collect();
        ports.push(bound.s3.port());
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 5);
    }
}
