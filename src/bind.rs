//! The socket at which the page, or the PLC, is served.
//!
//! Owns that an address which this machine does not have yet is taken all the same: a line with local cameras inspects
//! without its network, and page and PLC are served as soon as the address is there. Knows neither of them.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, ipproto, listen, socket_with,
    sockopt::{set_ip_freebind, set_ipv6_freebind, set_socket_reuseaddr},
};

/// Connections that wait to be accepted; the standard library's figure.
const BACKLOG: i32 = 128;

/// A socket that listens.
#[derive(Debug)]
pub enum Listening {
    /// On an address of this machine.
    Here(TcpListener),
    /// On one that this machine does not have yet.
    Ahead(TcpListener),
}

/// Listens on the address.
pub fn listener(address: SocketAddr) -> io::Result<Listening> {
    match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            ahead(address).map(Listening::Ahead)
        }
        here => here.map(Listening::Here),
    }
}

/// Listens on an address that is not there.
fn ahead(address: SocketAddr) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    // As the standard library does: connections of an earlier run may linger.
    set_socket_reuseaddr(&socket, true)?;
    // A kernel that cannot do it refuses the address as before.
    let _set = if address.is_ipv4() {
        set_ip_freebind(&socket, true)
    } else {
        set_ipv6_freebind(&socket, true)
    };
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_not_there_is_taken() {
        // Of the ranges that are for documentation alone.
        for address in ["192.0.2.7:0", "[2001:db8::7]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            if address.is_ipv6() && TcpListener::bind("[::1]:0").is_err() {
                continue;
            }
            let refused = TcpListener::bind(address).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
            let Ok(Listening::Ahead(taken)) = listener(address) else { panic!("{address}") };
            let taken = taken.local_addr().unwrap();
            assert_eq!(taken.ip(), address.ip());
            assert_ne!(taken.port(), 0);
        }
    }

    #[test]
    fn an_address_that_another_holds_is_not() {
        for address in ["127.0.0.1:0", "192.0.2.7:0"] {
            let (Listening::Here(held) | Listening::Ahead(held)) =
                listener(address.parse().unwrap()).unwrap();
            let error = listener(held.local_addr().unwrap()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{address}");
        }
    }
}
