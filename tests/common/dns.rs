//! A name server for tests: knows some IPv4 addresses, and nothing else.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Serves until the test program ends. `names` in lower case.
pub fn name_server(place: &str, names: &[(&str, Ipv4Addr)]) -> std::io::Result<SocketAddr> {
    let socket = UdpSocket::bind(place)?;
    let place = socket.local_addr()?;
    let names: Vec<(String, Ipv4Addr)> = names
        .iter()
        .map(|(name, ip)| ((*name).to_owned(), *ip))
        .collect();
    std::thread::spawn(move || {
        let mut packet = [0; 600];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let _ = socket.send_to(&answer(&packet[..length], &names), from);
        }
    });
    Ok(place)
}

fn answer(query: &[u8], names: &[(String, Ipv4Addr)]) -> Vec<u8> {
    let mut name = String::new();
    let mut at = 12;
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(&query[at + 1..end]).to_lowercase());
        at = end;
    }
    let mut packet = query[..at + 5].to_vec();
    let for_ipv4 = query[at + 2] == 1;
    packet[2] |= 0x80;
    match names.iter().find(|(known, _)| *known == name) {
        None => packet[3] = 0x83,
        Some((_, ip)) if for_ipv4 => {
            packet[7] = 1;
            packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            packet.extend(ip.octets());
        }
        Some(_) => (),
    }
    packet
}
