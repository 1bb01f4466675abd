//! Listening at an address that the configuration names: the page's, or the PLC's.
//!
//! Owns which exit code and which remedy it is when the address cannot be had. What a later start may find mended is not
//! the configuration's fault: the service is started again.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use rustix::io::Errno;

use super::print;
use crate::{
    bind::{self, Listening},
    fault::{Class, Fault},
};

/// What is served, and where.
pub(super) struct Served {
    /// The configuration's key.
    pub(super) key: &'static str,
    /// What somebody looks for there.
    pub(super) what: &'static str,
    pub(super) address: SocketAddr,
}

/// Listens there; where `or_any` is, at any other port if that one is held.
pub(super) fn listen(served: &Served, or_any: bool) -> Result<TcpListener, Fault> {
    let Served { key, what, address } = served;
    let listening = bind::listener(*address).or_else(|error| {
        let is_taken = error.kind() == io::ErrorKind::AddrInUse;
        let other = SocketAddr::new(address.ip(), 0);
        if or_any && is_taken { bind::listener(other) } else { Err(error) }
    });
    match listening.map_err(|error| not_listening(served, &error))? {
        Listening::Here(listener) => Ok(listener),
        Listening::Ahead(listener) => {
            print::note(&format!(
                "{key} {address}: this machine does not have that address (yet); {what} is there when it does"
            ));
            Ok(listener)
        }
    }
}

/// Why the address is not ours.
fn not_listening(Served { key, address, .. }: &Served, error: &io::Error) -> Fault {
    let (class, remedy) = match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => {
            (Class::Address, "choose another address or port, or end what holds it")
        }
        // Only where the kernel cannot listen ahead of an address.
        Some(Errno::ADDRNOTAVAIL) => {
            (Class::Address, "choose an address of this machine, or wait for its network")
        }
        Some(Errno::ACCESS) => (
            Class::Configuration,
            "ports below 1024 are not for everybody: choose one above, or give the service CAP_NET_BIND_SERVICE (docs/deploy.md)",
        ),
        // One that needs an interface's name, or a kernel without IPv6.
        Some(Errno::INVAL | Errno::AFNOSUPPORT) => (Class::Configuration, "choose another address"),
        _ => (Class::Bug, "please report it"),
    };
    Fault::new(class, format!("{key} {address}: {error}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_that_may_become_free_is_tried_again() {
        let address = SocketAddr::from(([192, 0, 2, 7], 443));
        let served = Served { key: "http.listen", what: "the page", address };
        for (errno, class, remedy) in [
            (Errno::ADDRINUSE, Class::Address, "end what holds it"),
            (Errno::ADDRNOTAVAIL, Class::Address, "of this machine"),
            (Errno::ACCESS, Class::Configuration, "CAP_NET_BIND_SERVICE"),
            (Errno::INVAL, Class::Configuration, "another address"),
            (Errno::AFNOSUPPORT, Class::Configuration, "another address"),
            (Errno::MFILE, Class::Bug, "report"),
        ] {
            let fault = not_listening(&served, &errno.into());
            assert_eq!(fault.class, class);
            let line = fault.to_string();
            assert!(
                line.starts_with("http.listen 192.0.2.7:443: ") && line.contains(remedy),
                "{line}"
            );
        }
    }
}
