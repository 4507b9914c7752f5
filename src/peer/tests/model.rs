//! Random programs on three nodes whose links come and go: see the model of a
//! single node.

use super::net::{terms, Net};
use crate::edge::tests::model::{run_many, Mischief, Setting};
use crate::edge::tests::world::{Program, World};
use crate::session::Stop;
use std::time::Duration;

const HOMES: [usize; 4] = [0, 1, 1, 2];

fn arrange(world: &mut World, random: &mut fastrand::Rng) -> Mischief {
    let mut terms = terms();
    // Sometimes fewer than the nodes need at a time.
    terms.max_links = random.choice([1, 2, 16]).unwrap();
    terms.idle_after = Duration::from_secs(random.choice([2, 20, 300]).unwrap());
    let net = Net::over(world, 3, terms);
    net.lock().delay = Duration::from_micros(random.choice([0, 0, 500, 30_000]).unwrap());
    for (n, home) in (1..).zip(HOMES) {
        // Where it is not is sometimes asked first.
        let mut homes = vec![home];
        if random.bool() {
            homes.insert(0, (home + 1) % 3);
        }
        net.tell(&Program::new(n), &homes);
    }
    Box::new(move |world, random| {
        let (a, b) = random.choice([(0, 1), (1, 2), (0, 2)]).unwrap();
        let mut broken = false;
        match random.u8(..6) {
            0 | 1 => broken = net.cut(a, b),
            // Both at once, or one that does not know of the link that there is.
            2 => {
                net.dial(a, b);
                net.dial(b, a);
            }
            3 => net.dial(b, a),
            4 => {
                let lines = &mut net.lock().lines;
                if let Some(line) = lines.last_mut() {
                    line.up.frozen = random.u8(..3) == 0;
                    line.down.frozen = random.u8(..3) == 0;
                }
            }
            _ => {
                for line in &mut net.lock().lines {
                    (line.up.frozen, line.down.frozen) = (false, false);
                }
            }
        }
        world.settle();
        check(&net);
        // Links end by themselves, too: frozen ones, and those whose place is needed.
        let ended = |line: &super::net::PeerLine| line.stop(true).is_some();
        broken | net.lock().lines.iter().any(ended)
    })
}

fn check(net: &Net) {
    let nodes = net.lock();
    for line in &nodes.lines {
        for stop in [line.stop(true), line.stop(false)].into_iter().flatten() {
            let text = stop.to_string();
            let wrong = matches!(stop, Stop::Say(_) | Stop::Told(_))
                && (text.contains("protocol") || text.contains("flow"));
            assert!(!wrong, "{text}");
        }
        for link in line.links().into_iter().flatten() {
            link.audit();
        }
    }
}

#[test]
fn no_sequence_of_events_on_three_nodes_loses_or_changes_a_byte_or_leaves_a_port_behind() {
    run_many(&Setting {
        arrange,
        homes: HOMES,
    });
}
