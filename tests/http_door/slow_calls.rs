//! Calls that wait for the chain, and those who ask meanwhile.

use crate::harness::{call, get, post, Client, Service, PATIENCE};
use chr_node::rpc::Limits;
use serde_json::json;

fn slow(id: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"eth_chainId","id":{id}}}"#)
}

#[test]
fn a_chain_that_does_not_answer_keeps_nobody_else_waiting() {
    let service = Service::new();
    // More than there are ways to the worker and seats before it.
    let mut waiting: Vec<Client> = (0..60).map(|_| service.client()).collect();
    for (id, client) in waiting.iter_mut().enumerate() {
        client.send(&post(slow(id).as_bytes()));
    }
    let mut monitor = service.client();
    for id in 0..20 {
        let reply = monitor.ask(&post(call(id).as_bytes())).unwrap();
        assert_eq!(reply.json()["id"], id);
        assert_eq!(monitor.ask(&get("/health")).unwrap().status, 200);
    }
    let mut both = service.client();
    let batch = format!("[{},{},{}]", slow(1), call(2), slow(3));
    both.send(&post(batch.as_bytes()));
    assert_eq!(monitor.ask(&get("/ready")).unwrap().status, 200);
    service.node.chain.0.close();
    for (id, client) in waiting.iter_mut().enumerate() {
        let answer = client.reply().unwrap().json();
        assert_eq!(
            (&answer["id"], &answer["result"]),
            (&json!(id), &json!("eth_chainId"))
        );
    }
    let answers = both.reply().unwrap().json();
    let ids: Vec<_> = answers
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["id"])
        .collect();
    assert_eq!(ids, [1, 2, 3]);
    assert!(answers[1]["result"]["node_id"].is_string());
    // The connections are good for more.
    let again = waiting[0].ask(&post(slow(9).as_bytes())).unwrap();
    assert_eq!(again.json()["id"], 9);
}

#[test]
fn calls_that_wait_are_bounded_and_the_bound_is_given_back() {
    let service = Service::new();
    let batch = |count: usize| {
        let calls: Vec<String> = (0..count).map(slow).collect();
        post(format!("[{}]", calls.join(",")).as_bytes())
    };
    // One of both comes first, and the other cannot wait beside it.
    let (tell, told) = std::sync::mpsc::channel();
    let askers: Vec<_> = (0..2)
        .map(|_| {
            let (mut client, tell, batch) = (service.client(), tell.clone(), batch(100));
            std::thread::spawn(move || tell.send(client.ask(&batch).unwrap().json()).unwrap())
        })
        .collect();
    let refused = told.recv_timeout(PATIENCE).unwrap();
    let error = &refused[99]["error"];
    assert_eq!(error["code"], -32000, "{refused}");
    let text = error["message"].as_str().unwrap();
    assert!(text.contains("too many calls wait"), "{text}");
    let mut third = service.client();
    third.send(&batch(20));
    service.node.chain.0.close();
    let answered = told.recv_timeout(PATIENCE).unwrap();
    for (answers, count) in [(answered, 100), (third.reply().unwrap().json(), 20)] {
        assert_eq!(answers.as_array().unwrap().len(), count);
        let mut answers = answers.as_array().unwrap().iter();
        assert!(answers.all(|answer| answer["result"] == "eth_chainId"));
    }
    let again = service.client().ask(&batch(100)).unwrap().json();
    assert_eq!(again[99]["result"], "eth_chainId");
    for asker in askers {
        asker.join().unwrap();
    }
}

#[test]
fn who_waits_for_the_chain_gives_way_when_all_places_are_taken() {
    let service = Service::with(Limits {
        connections: 4,
        ..Limits::default()
    });
    let mut waiting: Vec<Client> = (0..4).map(|_| service.client()).collect();
    for client in &mut waiting {
        client.send(&post(slow(1).as_bytes()));
    }
    // Each of them has had its time when another comes.
    let reply = service.client().ask(&post(call(5).as_bytes())).unwrap();
    assert_eq!(reply.json()["id"], 5);
    service.node.chain.0.close();
    let answered = waiting.iter_mut().filter_map(Client::reply).count();
    assert_eq!(answered, 3);
}
