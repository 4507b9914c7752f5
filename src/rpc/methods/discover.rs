//! `rpc_discover`: the table of methods as an OpenRPC document (<https://spec.open-rpc.org>, 1.3.2),
//! with a JSON schema of every parameter and result.

use super::{all, json, rows, types, Method, Run};
use crate::rpc::fault::RpcFault;
use crate::sorted::object;
use serde_json::{json, Value};
use std::sync::OnceLock;

/// The rows.
pub(super) const METHODS: &[Method] = &rows([Method {
    name: "rpc_discover",
    summary: "This document: every method with schemas of its parameters and its result (OpenRPC). Also answered as rpc.discover.",
    params: "",
    result: "{
        openrpc: string -- version of the form
        info: {title: string, version: string, description: string}
        methods: [{
            name: string
            summary: string
            paramStructure: \"either\" -- by position or by name
            params: [{name: string, required: boolean, description: string, schema: any}]
            result: {name: string, schema: any}
            tags: [{name: string}] -- writes: needs the operator's token; asynchronous: asks the chain or the disk
        }]
    }",
    writes: false,
    public: true,
    run: Run::Now(|_, _| discover()),
}]);

/// The text is the same as long as the program runs, and made when it is first wanted.
fn discover() -> Result<Vec<u8>, RpcFault> {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    if let Some(text) = TEXT.get() {
        return Ok(text.clone());
    }
    let text = json(&document())?;
    Ok(TEXT.get_or_init(|| text).clone())
}

fn document() -> Value {
    let methods: Vec<Value> = all().map(tell).collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "chr-node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "JSON-RPC 2.0 by POST /rpc; docs/rpc.md has limits, errors and who may ask what.",
        },
        "methods": methods,
    })
}

fn tell(method: &'static Method) -> Value {
    let params = types::fields(method.params).unwrap_or_default();
    let params: Vec<Value> = params
        .iter()
        .map(|field| {
            object(&mut [
                ("name", field.name.into()),
                ("required", (!field.optional).into()),
                ("description", field.doc.into()),
                ("schema", field.kind.schema(false)),
            ])
        })
        .collect();
    let result = types::parse(method.result).map_or(Value::Bool(true), |kind| kind.schema(true));
    let mut tags = Vec::new();
    if method.writes {
        tags.push(object(&mut [("name", "writes".into())]));
    }
    if matches!(method.run, Run::Later) {
        tags.push(object(&mut [("name", "asynchronous".into())]));
    }
    object(&mut [
        ("name", method.name.into()),
        ("summary", method.summary.into()),
        ("paramStructure", "either".into()),
        ("params", params.into()),
        (
            "result",
            object(&mut [("name", "result".into()), ("schema", result)]),
        ),
        ("tags", tags.into()),
    ])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::find;
    use super::*;
    use std::collections::HashSet;

    /// Methods whose results are parts of this one's.
    fn references(method: &Method) -> Vec<&'static str> {
        fn walk(kind: types::Type<'static>, found: &mut Vec<&'static str>) {
            match kind {
                types::Type::Result(name) => found.push(name),
                types::Type::List(inner)
                | types::Type::Map(inner)
                | types::Type::Nullable(inner) => walk(*inner, found),
                types::Type::Object(fields) => {
                    fields.into_iter().for_each(|field| walk(field.kind, found));
                }
                types::Type::Union(all) => all.into_iter().for_each(|kind| walk(kind, found)),
                types::Type::Word(_) | types::Type::Text(_) => {}
            }
        }
        let mut found = Vec::new();
        walk(types::parse(method.result).unwrap(), &mut found);
        found
    }

    #[test]
    fn every_row_of_the_table_can_be_read_and_is_there_once() {
        let mut names = HashSet::new();
        for method in all() {
            assert!(names.insert(method.name), "{} is there twice", method.name);
            assert!(!method.summary.is_empty(), "{}", method.name);
            let params = types::fields(method.params).unwrap_or_else(|| panic!("{}", method.name));
            assert!(types::parse(method.result).is_some(), "{}", method.name);
            for name in references(method) {
                let found = find(name).unwrap_or_else(|| panic!("{}: @{name}", method.name));
                // Two steps are enough, so no circle can be made.
                let deep = !references(found).is_empty() && method.name != "node_status";
                assert!(!deep, "{}: @{name}", method.name);
            }
            // By position, nothing that must be there can follow what may be left out.
            let first = params.iter().position(|field| field.optional);
            let first = first.unwrap_or(params.len());
            assert!(
                params.iter().skip(first).all(|field| field.optional),
                "{}",
                method.name
            );
        }
    }

    #[test]
    fn the_document_says_of_itself_what_it_is() {
        let own = types::parse(METHODS.first().unwrap().result).unwrap();
        assert!(own.takes(&document()));
    }
}
