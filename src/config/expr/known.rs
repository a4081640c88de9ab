//! Which names does HAProxy know that are not built here yet? So that a message can tell "not yet" from "no such thing"
//! (manual 7.3, 8.2.6; HAProxy 2.6).

/// Sample fetches of the manual's chapter 7.3 without an implementation here.
#[rustfmt::skip] // a table of words
pub(super) const FETCHES: &[&str] = &[
    "51d.all", "avg_queue", "base32", "base32+src", "bc_dst", "bc_dst_port", "bc_err", "bc_err_str", "bc_http_major",
    "bc_src", "bc_src_port", "be_conn", "be_conn_free", "be_id", "be_server_timeout", "be_sess_rate",
    "be_tunnel_timeout", "bin", "capture.req.hdr", "capture.req.ver", "capture.res.hdr", "capture.res.ver", "connslots",
    "cookie", "cpu_calls", "cpu_ns_avg", "cpu_ns_tot", "cur_server_timeout", "cur_tunnel_timeout", "date_us",
    "distcc_body", "distcc_param", "dst_conn", "dst_is_local", "env", "fc_dst", "fc_dst_is_local", "fc_dst_port",
    "fc_err", "fc_err_str", "fc_fackets", "fc_http_major", "fc_lost",
    "fc_rcvd_proxy", "fc_reordering", "fc_retrans", "fc_rtt", "fc_rttvar", "fc_sacked", "fc_src", "fc_src_is_local",
    "fc_src_port", "fc_unacked", "fe_client_timeout", "fe_conn", "fe_defbe", "fe_id", "fe_req_rate", "fe_sess_rate",
    "http_auth", "http_auth_bearer", "http_auth_group", "http_auth_pass", "http_auth_type", "http_auth_user",
    "http_first_req", "internal.htx.data", "internal.htx.free", "internal.htx.free_data", "internal.htx.has_eom",
    "internal.htx.nbblks", "internal.htx.size", "internal.htx.used", "internal.htx_blk.data",
    "internal.htx_blk.hdrname", "internal.htx_blk.hdrval", "internal.htx_blk.size", "internal.htx_blk.start_line",
    "internal.htx_blk.type", "internal.strm.is_htx", "ipv4", "ipv6", "last_rule_file", "last_rule_line", "lat_ns_avg",
    "lat_ns_tot", "payload_lv", "prio_class", "prio_offset", "proc", "queue", "rand", "rdp_cookie",
    "rdp_cookie_cnt", "rep_ssl_hello_type", "req.body", "req.body_len", "req.body_param", "req.body_size",
    "req.hdr_names", "req.hdrs", "req.hdrs_bin", "req.payload_lv", "req.rdp_cookie",
    "req.rdp_cookie_cnt",
    "res.body", "res.body_len",
    "res.body_size", "res.cache_hit", "res.cache_name", "res.comp", "res.comp_algo", "res.cook", "res.cook_cnt",
    "res.cook_val", "res.hdr_names", "res.hdrs", "res.hdrs_bin", "res.len", "res.payload", "res.payload_lv",
    "res.ssl_hello_type", "res.ver", "resp_ver", "scook", "scook_cnt", "scook_val", "set-cookie", "so_id", "so_name",
    "src_is_local", "srv_conn", "srv_conn_free", "srv_id", "srv_is_up", "srv_iweight", "srv_queue", "srv_sess_rate",
    "srv_uweight", "srv_weight", "ssl_bc", "ssl_bc_alg_keysize", "ssl_bc_alpn", "ssl_bc_cipher",
    "ssl_bc_client_random", "ssl_bc_err", "ssl_bc_err_str", "ssl_bc_is_resumed", "ssl_bc_npn", "ssl_bc_protocol",
    "ssl_bc_server_random", "ssl_bc_session_id", "ssl_bc_session_key", "ssl_bc_unique_id", "ssl_bc_use_keysize",
    "ssl_c_chain_der",
    "ssl_f_der", "ssl_f_i_dn", "ssl_f_key_alg", "ssl_f_notafter", "ssl_f_notbefore",
    "ssl_f_s_dn", "ssl_f_serial", "ssl_f_sha1", "ssl_f_sig_alg", "ssl_f_version",
    "ssl_fc_cipherlist_bin", "ssl_fc_cipherlist_hex", "ssl_fc_cipherlist_str", "ssl_fc_cipherlist_xxh",
    "ssl_fc_client_early_traffic_secret", "ssl_fc_client_handshake_traffic_secret", "ssl_fc_client_random",
    "ssl_fc_client_traffic_secret_0", "ssl_fc_early_exporter_secret", "ssl_fc_ecformats_bin", "ssl_fc_eclist_bin",
    "ssl_fc_err", "ssl_fc_err_str", "ssl_fc_exporter_secret", "ssl_fc_extlist_bin",
    "ssl_fc_has_early", "ssl_fc_npn", "ssl_fc_protocol_hello_id",
    "ssl_fc_server_handshake_traffic_secret", "ssl_fc_server_random", "ssl_fc_server_traffic_secret_0",
    "ssl_fc_session_id", "ssl_fc_session_key", "ssl_fc_unique_id", "ssl_s_chain_der",
    "ssl_s_der", "ssl_s_i_dn", "ssl_s_key_alg", "ssl_s_notafter", "ssl_s_notbefore", "ssl_s_s_dn", "ssl_s_serial",
    "ssl_s_sha1", "ssl_s_sig_alg", "ssl_s_version", "stopping", "table_avl", "table_cnt", "thread", "url32",
    "url32+src", "url_ip", "url_port", "uuid", "var",
];

/// Counters of stick tables: `sc0_…`, `sc_…`, `src_…`, all of them not built yet.
#[rustfmt::skip] // a table of words
pub(super) const COUNTERS: &[&str] = &[
    "bytes_in_rate", "bytes_out_rate", "clr_gpc", "clr_gpc0", "clr_gpc1", "conn_cnt", "conn_cur", "conn_rate",
    "get_gpc", "get_gpc0", "get_gpc1", "get_gpt", "get_gpt0", "gpc0_rate", "gpc1_rate", "gpc_rate", "http_err_cnt",
    "http_err_rate", "http_fail_cnt", "http_fail_rate", "http_req_cnt", "http_req_rate", "inc_gpc", "inc_gpc0",
    "inc_gpc1", "kbytes_in", "kbytes_out", "sess_cnt", "sess_rate", "tracked", "trackers", "updt_conn_cnt",
];

/// Converters of chapter 7.3.1 without an implementation here; `table_…` besides.
#[rustfmt::skip] // a table of words
pub(super) const CONVERTERS: &[&str] = &[
    "51d.single", "add", "add_item", "aes_gcm_dec", "and", "b64dec", "be2dec", "be2hex", "bool", "bytes",
    "capture-req", "capture-res", "cpl", "crc32", "crc32c", "cut_crlf", "da-csv-conv", "debug", "digest", "div", "djb2",
    "even", "fix_is_valid", "fix_tag_value", "hex2i", "hmac", "htonl", "http_date", "iif", "in_table", "ipmask",
    "json", "json_query", "jwt_header_query", "jwt_payload_query", "jwt_verify", "language", "ltime", "ltrim", "map",
    "map_beg", "map_dir", "map_dom", "map_end", "map_int", "map_ip", "map_reg", "map_regm", "map_str", "map_sub", "mod",
    "mqtt_field_value", "mqtt_is_valid", "mul", "nbsrv", "neg", "odd", "or", "protobuf", "rtrim", "sdbm",
    "secure_memcmp", "set-var", "sha1", "sha2", "srv_queue", "strcmp", "sub", "ub64dec", "ub64enc", "ungrpc",
    "unset-var", "url_enc", "utime", "wt6", "xor", "xxh3", "xxh32", "xxh64",
];

/// Variables of chapter 8.2.6 that make no sense before the response, or are not built yet.
pub(super) const VARIABLES: &[&str] = &[
    "B", "CC", "CS", "ST", "T", "Ta", "Tc", "Td", "Th", "Ti", "Tl", "Tq", "TR", "Tr", "Ts", "Tt", "Tu", "Tw", "U",
    "ac", "bc", "bi", "bp", "bq", "fc", "ft", "hr", "hrl", "hs", "hsl", "lc", "ms", "o", "r", "rc", "rt", "sc", "si",
    "sp", "sq", "sslc", "sslv", "t", "tr", "trg", "trl", "ts", "tsc",
];

/// Actions of `http-request` and `http-response` (manual 4.2) that are not built yet.
#[rustfmt::skip] // a table of words
pub(super) const ACTIONS: &[&str] = &[
    "add-acl", "auth", "cache-store", "cache-use", "capture", "del-acl", "del-map", "do-resolve",
    "early-hint", "normalize-uri", "reject", "replace-header", "replace-path", "replace-pathq", "replace-uri",
    "replace-value", "sc-add-gpc", "sc-inc-gpc", "sc-inc-gpc0", "sc-inc-gpc1", "sc-set-gpt", "sc-set-gpt0",
    "send-spoe-group", "set-bandwidth-limit", "set-dst", "set-dst-port", "set-log-level", "set-map", "set-mark",
    "set-method", "set-nice", "set-path", "set-pathq", "set-query",
    "set-src", "set-src-port", "set-status", "set-timeout", "set-tos", "set-uri", "set-var", "set-var-fmt",
    "silent-drop", "strict-mode", "track-sc0", "track-sc1", "track-sc2", "unset-var", "use-service",
    "wait-for-body", "wait-for-handshake",
];

pub(super) fn is_known_fetch(name: &str) -> bool {
    FETCHES.contains(&name) || counter_of(name).is_some_and(|counter| COUNTERS.contains(&counter))
}

pub(super) fn is_known_converter(name: &str) -> bool {
    CONVERTERS.contains(&name)
        || name.strip_prefix("table_").is_some_and(|counter| {
            COUNTERS.contains(&counter)
                || ["expire", "gpt", "gpt0", "gpc", "gpc0", "gpc1", "idle", "server_id"].contains(&counter)
        })
}

/// `conn_cnt` of `sc0_conn_cnt`, `sc_conn_cnt` and `src_conn_cnt`.
fn counter_of(name: &str) -> Option<&str> {
    ["sc0_", "sc1_", "sc2_", "sc_", "src_"].iter().find_map(|prefix| name.strip_prefix(prefix))
}
