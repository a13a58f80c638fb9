//! `gauntlet proxy`, driven as people drive Toxiproxy: by HTTP, by a configuration file, by the harness.

use std::{
    fs,
    io::Read,
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

#[allow(dead_code)]
mod served;

use served::{Served, connect, echo, is_refused, said_back};

#[test]
fn a_proxy_and_its_toxics_are_made_in_one_call() {
    let served = Served::start(&["--seed", "3"]);
    let upstream = echo().to_string();
    let body = json!({
        "name": "mx", "listen": "127.0.0.1:0", "upstream": upstream,
        "toxics": [
            { "type": "latency", "attributes": { "latency": 50 } },
            { "type": "limit_data", "name": "enough", "stream": "upstream", "toxicity": 0.0, "attributes": { "bytes": 3 } },
        ],
    });
    let (status, proxy) = served.ask("POST", "/proxies", &body.to_string());
    assert_eq!(status, 201, "{proxy}");
    assert_eq!(
        proxy["toxics"],
        json!([
            { "attributes": { "bytes": 3 }, "name": "enough", "type": "limit_data", "stream": "upstream", "toxicity": 0.0 },
            { "attributes": { "latency": 50, "jitter": 0 }, "name": "latency_downstream", "type": "latency", "stream": "downstream", "toxicity": 1.0 },
        ])
    );
    let listen = proxy["listen"].as_str().expect("an address").to_owned();
    let mut open = connect(&listen);
    assert!(said_back(&mut open, "longer than three") >= Duration::from_millis(50));

    // Changed while the connection is open: by POST, as old clients do, and by PATCH.
    let path = "/proxies/mx/toxics/latency_downstream";
    for (method, latency) in [("POST", 120), ("PATCH", 90)] {
        let body = json!({ "attributes": { "latency": latency } }).to_string();
        let (status, toxic) = served.ask(method, path, &body);
        assert_eq!(
            (status, &toxic["attributes"]["latency"]),
            (200, &json!(latency))
        );
        assert!(said_back(&mut open, "x") >= Duration::from_millis(latency));
    }
    assert_eq!(served.ask("GET", path, "").1["toxicity"], json!(1.0));
    assert_eq!(served.ask("DELETE", path, "").0, 204);

    // The same again is left alone; another upstream replaces it, and drops what is open.
    let again = json!([{ "name": "mx", "listen": listen, "upstream": upstream }]);
    let (status, made) = served.ask("POST", "/populate", &again.to_string());
    assert_eq!(
        (
            status,
            made["proxies"][0]["toxics"].as_array().map(Vec::len)
        ),
        (201, Some(1))
    );
    said_back(&mut open, "undisturbed");
    let other = json!({ "upstream": echo().to_string() }).to_string();
    let (status, moved) = served.ask("PATCH", "/proxies/mx", &other);
    assert_eq!(
        (status, &moved["listen"], &moved["enabled"]),
        (200, &json!(listen), &json!(true))
    );
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
    said_back(&mut connect(&listen), "elsewhere");

    let (_, metrics) = served.ask("GET", "/metrics", "");
    let metrics = metrics.as_str().expect("text").to_owned();
    let sent = format!(
        "toxiproxy_proxy_sent_bytes_total{{direction=\"upstream\",listener=\"{listen}\",proxy=\"mx\""
    );
    let line = metrics.lines().find(|line| line.starts_with(&sent));
    let count = line
        .and_then(|line| line.rsplit(' ').next())
        .expect("a count");
    assert_eq!(count, "39", "{metrics}");
}

#[test]
fn errors_are_toxiproxys() {
    let served = Served::start(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let proxy = r#"{"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"}"#;
    let busy = json!({ "name": "b", "listen": taken, "upstream": "127.0.0.1:1" }).to_string();
    let cases = [
        ("POST", "/proxies", ""),
        ("POST", "/proxies", "{"),
        ("POST", "/proxies", r#"{"upstream": "127.0.0.1:1"}"#),
        ("POST", "/proxies", r#"{"name": "a", "upstream": ""}"#),
        ("POST", "/proxies", proxy),
        ("POST", "/proxies", proxy),
        ("POST", "/proxies", &busy),
        (
            "POST",
            "/proxies",
            r#"{"name": "c", "upstream": "x:1", "toxics": [{"type": "lag"}]}"#,
        ),
        ("GET", "/proxies/c", ""),
        ("PATCH", "/proxies/c", ""),
        ("DELETE", "/proxies/c", ""),
        ("GET", "/proxies/c/toxics", ""),
        ("PATCH", "/proxies/a", r#"{"enabled": "no"}"#),
        ("POST", "/proxies/a/toxics", "7"),
        ("POST", "/proxies/a/toxics", r#"{"type": "lag"}"#),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type": "latency", "stream": "sideways"}"#,
        ),
        (
            "POST",
            "/proxies/a/toxics",
            r#"{"type": "latency", "attributes": {"latency": -1}}"#,
        ),
        ("POST", "/proxies/a/toxics", r#"{"type": "latency"}"#),
        ("POST", "/proxies/a/toxics", r#"{"type": "latency"}"#),
        ("GET", "/proxies/a/toxics/none", ""),
        ("PATCH", "/proxies/a/toxics/none", "{}"),
        ("DELETE", "/proxies/a/toxics/none", ""),
        (
            "POST",
            "/populate",
            r#"[{"name": "d", "upstream": "x:1", "enabled": false}, {"name": "e"}]"#,
        ),
        ("POST", "/populate", "{}"),
        ("PUT", "/proxies/a", ""),
        ("GET", "/nothing", ""),
    ];
    let mut said = String::new();
    for (method, path, body) in cases {
        let (status, answer) = served.ask(method, path, body);
        let answer = match &answer["error"] {
            Value::String(error) => {
                assert_eq!(answer["status"], json!(status), "{answer}");
                error.replace(&taken, "[taken]")
            }
            _ => answer["name"].as_str().unwrap_or_default().to_owned(),
        };
        said.push_str(&format!(
            "{method} {path} {} -> {status} {answer}\n",
            body.replace(&taken, "[taken]")
        ));
    }
    insta::assert_snapshot!(said, @r#"
    POST /proxies  -> 400 bad request body: EOF
    POST /proxies { -> 400 bad request body: EOF while parsing an object at line 1 column 1
    POST /proxies {"upstream": "127.0.0.1:1"} -> 400 missing required field: name
    POST /proxies {"name": "a", "upstream": ""} -> 400 missing required field: upstream
    POST /proxies {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"} -> 201 a
    POST /proxies {"name": "a", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:1"} -> 409 proxy already exists
    POST /proxies {"listen":"[taken]","name":"b","upstream":"127.0.0.1:1"} -> 500 listen tcp [taken]: Address already in use (os error 98)
    POST /proxies {"name": "c", "upstream": "x:1", "toxics": [{"type": "lag"}]} -> 400 invalid toxic type
    GET /proxies/c  -> 404 proxy not found
    PATCH /proxies/c  -> 404 proxy not found
    DELETE /proxies/c  -> 404 proxy not found
    GET /proxies/c/toxics  -> 404 proxy not found
    PATCH /proxies/a {"enabled": "no"} -> 400 bad request body: invalid type: string "no", expected a boolean at line 1 column 16
    POST /proxies/a/toxics 7 -> 400 bad request body: invalid type: integer `7`, expected a toxic at line 1 column 1
    POST /proxies/a/toxics {"type": "lag"} -> 400 invalid toxic type
    POST /proxies/a/toxics {"type": "latency", "stream": "sideways"} -> 400 stream was invalid, can be either upstream or downstream
    POST /proxies/a/toxics {"type": "latency", "attributes": {"latency": -1}} -> 400 bad request body: attribute `latency` is -1, and not a whole number from 0
    POST /proxies/a/toxics {"type": "latency"} -> 200 latency_downstream
    POST /proxies/a/toxics {"type": "latency"} -> 409 toxic already exists
    GET /proxies/a/toxics/none  -> 404 toxic not found
    PATCH /proxies/a/toxics/none {} -> 404 toxic not found
    DELETE /proxies/a/toxics/none  -> 404 toxic not found
    POST /populate [{"name": "d", "upstream": "x:1", "enabled": false}, {"name": "e"}] -> 400 missing required field: upstream at proxy 2
    POST /populate {} -> 400 bad request body: invalid type: map, expected a sequence at line 1 column 0
    PUT /proxies/a  -> 405 
    GET /nothing  -> 404 
    "#);
    assert_eq!(served.ask_as("Mozilla/5.0", "GET", "/proxies", "").0, 403);
}

#[test]
fn a_config_file_is_read_port_0_is_reported_and_ctrl_c_ends_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("toxiproxy.json");
    let upstream = echo().to_string();
    let config = json!([
        { "name": "mx", "listen": "localhost:0", "upstream": upstream, "enabled": true },
        { "name": "off", "listen": "127.0.0.1:0", "upstream": upstream, "enabled": false },
    ]);
    fs::write(&file, config.to_string()).expect("a file");
    let file = file.to_str().expect("text");
    let served = Served::start(&["--config", file]);
    let [on, off] = served.said.as_slice() else {
        panic!("{:?}", served.said);
    };
    let listen = on
        .strip_prefix("proxy mx ")
        .and_then(|rest| rest.strip_suffix(&format!(" -> {upstream}")))
        .expect("where it listens")
        .to_owned();
    assert!(!listen.ends_with(":0"), "{listen}");
    assert_eq!(
        *off,
        format!("proxy off 127.0.0.1:0 -> {upstream} (disabled)")
    );
    let mut open = connect(&listen);
    said_back(&mut open, "hello");
    let (status, all) = served.ask("GET", "/proxies", "");
    assert_eq!((status, &all["mx"]["listen"]), (200, &json!(listen)));
    let api = served.api.to_string();
    assert_eq!(served.interrupt(), Some(0));
    assert!(is_refused(&listen) && is_refused(&api));
    assert_eq!(open.read(&mut [0; 8]).expect("an end"), 0);
}

/// Exit code and stderr.
fn fails(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
        .arg("proxy")
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    let said = String::from_utf8(output.stderr).expect("text");
    (output.status.code(), said)
}

#[test]
fn bad_files_and_addresses_are_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("toxiproxy.json");
    let path = file.to_str().expect("text");
    for (text, why) in [
        ("[{ \"name\": \"a\",\n }]", "trailing comma at line 2"),
        (
            "[{ \"name\": \"a\" }]",
            "missing required field: upstream at proxy 1",
        ),
        (
            "[{ \"name\": \"a\", \"upstream\": \"x:1\", \"toxics\": [{ \"type\": \"lag\" }] }]",
            "invalid toxic type",
        ),
    ] {
        fs::write(&file, text).expect("a file");
        let (code, said) = fails(&["--api", "127.0.0.1:0", "--config", path]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(why), "{said}");
    }
    let (code, said) = fails(&["--config", "/nowhere/at.all"]);
    assert!(
        code == Some(64) && said.contains("/nowhere/at.all"),
        "{said}"
    );
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().expect("it is bound").to_string();
    let (code, said) = fails(&["--api", &taken]);
    assert!(code == Some(69) && said.contains("--api"), "{said}");
}

#[test]
fn the_harness_drives_a_toxiproxy_and_says_what_it_cannot_know() {
    let served = Served::start(&[]);
    let url = format!("http://{}", served.api);
    let directory = tempfile::tempdir().expect("a directory");
    let run = |steps: &str| {
        let text = format!(
            "title = 'Through Toxiproxy'\nguarantees = ['SC-01', 'TC-08']\non = ['process']\n\
             [cluster]\nnodes = ['n1', 'n2']\nmailboxes = 'n2'\n{steps}"
        );
        let file = directory.path().join("through.toml");
        fs::write(&file, text).expect("a file");
        let runs = directory.path().join("runs");
        let output = Command::new(env!("CARGO_BIN_EXE_gauntlet"))
            .args(["run", "--on", "process", "--toxiproxy", &url, "--runs-dir"])
            .args([&runs, &file])
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .output()
            .expect("the binary runs");
        let text = |octets: Vec<u8>| String::from_utf8(octets).expect("text");
        let said = text(output.stdout) + &text(output.stderr);
        let history = fs::read_to_string(runs.join("latest/history.jsonl")).expect("a history");
        (output.status.code(), said, history)
    };
    let (code, said, history) = run(
        "[[step]]\ntoxic = { link = 'client-1>n1', type = 'latency', attributes = { latency = 50 } }\n\
         [[step]]\ndelay = { link = 'n1>n2', latency = '5ms' }\n\
         [[step]]\nsubmit = { to = 'n1' }\n\
         [[step]]\ndown = { link = 'client-2>n1' }\n\
         [[step]]\nsubmit = { to = 'n1', client = 'client-2' }\n",
    );
    assert_eq!(code, Some(2), "{said}");
    let verdict = |id: &str| {
        let line = said.lines().find(|line| line.contains(id));
        line.unwrap_or_default()
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        (verdict("TC-08").as_str(), verdict("SC-01").as_str()),
        ("holds", "inconclusive"),
        "{said}"
    );
    assert!(said.contains("links ran through a Toxiproxy at"), "{said}");
    let records: Vec<Value> = history
        .lines()
        .map(|line| serde_json::from_str(line).expect("a record"))
        .collect();
    let of = |event: &str| {
        records
            .iter()
            .filter(|r| r["event"] == event)
            .collect::<Vec<_>>()
    };
    assert!(of("wire").is_empty() && of("unobserved").len() == 1);
    assert_eq!(of("fault-landed").len(), 3);
    let outcomes: Vec<&Value> = of("outcome").iter().map(|r| &r["outcome"]).collect();
    assert_eq!(outcomes, ["acked", "unsent"]);
    let took = of("outcome")[0]["t_us"].as_u64().expect("a time")
        - of("submit")[0]["t_us"].as_u64().expect("a time");
    assert!(took >= 3 * 50_000, "{took} µs");

    let (code, said, _) = run("[[step]]\npartition = { a = 'n1', b = 'n2' }\n");
    assert_eq!(code, Some(2), "nothing was proven: {said}");
    assert!(
        said.contains("this fault (n1 and n2 parted) is not possible on process through a"),
        "{said}"
    );
    // Nothing of it is left there.
    assert_eq!(served.ask("GET", "/proxies", ""), (200, json!({})));
}
