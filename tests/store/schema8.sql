-- hmbench database, schema version 8
PRAGMA foreign_keys = OFF;
BEGIN;
PRAGMA application_id = 1751999076;
PRAGMA user_version = 8;
CREATE TABLE machine(
  id TEXT NOT NULL PRIMARY KEY,       -- hash of the other columns except seen_utc
  host_id TEXT NOT NULL,              -- hash of the host's own id
  cpu_model TEXT NOT NULL,            -- name, as the CPU says it
  cpus INTEGER NOT NULL,              -- CPUs the process may use
  cpus_online INTEGER,                -- logical CPUs
  cores INTEGER,                      -- physical cores
  smt INTEGER,                        -- 1 on, 0 off, NULL unknown
  isa TEXT NOT NULL,                  -- best instruction set: scalar, avx2, avx512
  cpu_quota REAL,                     -- CPUs granted by the cgroup, NULL: no limit
  memory_bytes INTEGER NOT NULL,      -- bytes of RAM
  memory_limit_bytes INTEGER,         -- bytes granted by the cgroup, NULL: no limit
  governor TEXT,                      -- frequency governor, NULL: not visible
  kernel TEXT NOT NULL,               -- release
  os TEXT NOT NULL,                   -- name of the distribution
  container TEXT,                     -- kind of container or virtual machine, NULL: none seen
  seen_utc TEXT NOT NULL              -- first time, UTC
) STRICT;
CREATE TABLE build(
  id TEXT NOT NULL PRIMARY KEY,       -- hash of the other columns except seen_utc
  version TEXT NOT NULL,              -- of hmbench
  git_commit TEXT,                    -- hash, NULL: not built in a repository
  git_dirty INTEGER NOT NULL,         -- 1: with changes that no commit has
  compiler TEXT NOT NULL,             -- name and version
  flags TEXT NOT NULL,                -- compiler flags
  build_type TEXT NOT NULL,           -- Release, Debug
  sanitizer TEXT,                     -- NULL: none
  binary_hash TEXT NOT NULL,          -- of the program file
  seen_utc TEXT NOT NULL              -- first time, UTC
) STRICT;
CREATE TABLE model(
  id TEXT NOT NULL PRIMARY KEY,       -- fingerprint of the weights
  kind TEXT NOT NULL,                 -- heartmula
  name TEXT NOT NULL,                 -- preset, or last part of the path
  path TEXT NOT NULL,                 -- folder where it was first seen
  synthetic INTEGER NOT NULL,         -- 1: made by hmbench synth
  codebooks INTEGER,                  -- codes per frame
  code_vocabulary INTEGER,            -- values of a code
  sample_rate_hz INTEGER,             -- of its audio
  channels INTEGER,                   -- of its audio
  max_positions INTEGER,              -- longest context, tokens
  frame_s REAL,                       -- seconds of audio per frame
  seen_utc TEXT NOT NULL              -- first time, UTC
, speech_kind TEXT /* custom_voice, voice_design, base; NULL: comes in one kind */, size TEXT /* as its config tells it, 0b6; NULL: not told */) STRICT;
CREATE TABLE suite_case(
  id TEXT NOT NULL PRIMARY KEY,       -- hash of suite, name and everything asked for
  request_hash TEXT NOT NULL,         -- hash of what decides the codes
  suite_hash TEXT NOT NULL,           -- hash of the suite file
  suite TEXT NOT NULL,                -- name
  name TEXT NOT NULL,                 -- of the case
  task TEXT NOT NULL,                 -- music
  tags TEXT NOT NULL,                 -- UTF-8
  lyrics TEXT NOT NULL,               -- UTF-8
  intro_style TEXT,                   -- UTF-8, NULL: none
  verse_style TEXT,                   -- UTF-8, NULL: none
  chorus_style TEXT,                  -- UTF-8, NULL: none
  frames INTEGER NOT NULL,            -- forced length, frames
  topk INTEGER NOT NULL,              -- codes kept when drawing
  cfg_scale REAL NOT NULL,            -- guidance of the LM
  temperature REAL NOT NULL,          -- of the draws
  seed INTEGER NOT NULL,              -- of draws and noise, as signed 64 bit
  flow_steps INTEGER NOT NULL,        -- solver steps, 0: as the variant says
  flow_guidance REAL NOT NULL         -- guidance of the codec
, words INTEGER /* of the lyrics or the text, NULL: not counted */, kind TEXT /* of model it takes: custom_voice, voice_design, base; NULL: music */, text TEXT /* what is said, UTF-8, NULL: music */, speaker TEXT /* NULL: none */, language TEXT /* NULL: told by the model */, instruct TEXT /* how it is said, or the voice itself, UTF-8, NULL: none */, reference TEXT /* audio file of the voice to clone, NULL: none */, reference_text TEXT /* what is said in it, UTF-8, NULL: not told */, streaming_text INTEGER /* 1: one token a step, 0: all at once, -1: as the model does, NULL: music */, top_p REAL /* of the draws, NULL: music */, repetition_penalty REAL /* of the draws, NULL: music */, sub_temperature REAL /* of the code predictor's draws, NULL: music */, sub_topk INTEGER /* of the code predictor's draws, 0: all, NULL: music */, sub_top_p REAL /* of the code predictor's draws, NULL: music */, recording TEXT /* of a transcript: voice, music (made first), NULL: another task */, audio_s REAL /* s of the recording, NULL: another task */, chunk_s REAL /* s of a window, NULL: another task */, batch INTEGER /* windows side by side, NULL: another task */, window_tokens INTEGER /* forced length of a window's text, tokens, NULL: another task */, beams INTEGER /* texts followed side by side, NULL: another task */) STRICT;
CREATE TABLE session(
  id TEXT NOT NULL PRIMARY KEY,       -- UUID
  machine_id TEXT NOT NULL REFERENCES machine(id),
  build_id TEXT NOT NULL REFERENCES build(id),
  created_utc TEXT NOT NULL,          -- UTC
  ended_utc TEXT,                     -- UTC, NULL: never ended
  state TEXT NOT NULL,                -- running, done, partial, interrupted, failed
  interrupted INTEGER NOT NULL,       -- times it was interrupted
  command_line TEXT NOT NULL,         -- as typed
  options TEXT NOT NULL,              -- JSON: the plan
  order_seed INTEGER NOT NULL,        -- of the order of arms, as signed 64 bit
  rounds INTEGER NOT NULL             -- wanted
, kind TEXT NOT NULL DEFAULT 'suite' /* what it was for: suite, gate, calibrate, ablate, cold */) STRICT;
CREATE TABLE arm(
  id TEXT NOT NULL PRIMARY KEY,       -- UUID
  session_id TEXT NOT NULL REFERENCES session(id),
  position INTEGER NOT NULL,          -- in the session, from 0; 0 is the reference
  name TEXT NOT NULL,                 -- in tables
  variant TEXT,                       -- as --variant takes it, NULL: another program
  toggles TEXT,                       -- every toggle=value, comma between, NULL: another program
  coincides TEXT,                     -- other names of the same program, NULL: none
  backend TEXT NOT NULL,              -- cpu, ze, cuda, or command
  isa TEXT,                           -- asked for, NULL: best of the machine
  threads INTEGER NOT NULL,           -- asked for, 0: all CPUs
  precision TEXT,                     -- of weights: backbone/decoder/codec
  model TEXT NOT NULL,                -- folder
  command TEXT, program TEXT /* another build of hmbench that runs the variant, NULL: this one, or a command */, build_id TEXT REFERENCES build(id) /* of that program, NULL: the session's */, device TEXT /* of the backend, as asked for: index or UUID, NULL: the first */, env_profile TEXT /* of --env-profile, NULL: none */, environment TEXT /* NAME=VALUE with blanks between, of the variables that drivers and runtimes read; empty: none is set, NULL: not known */,                       -- of another program, NULL: hmbench
  UNIQUE(session_id, position)
) STRICT;
CREATE TABLE run(
  id TEXT NOT NULL PRIMARY KEY,       -- UUID
  session_id TEXT NOT NULL REFERENCES session(id),
  arm_id TEXT NOT NULL REFERENCES arm(id),
  case_id TEXT NOT NULL REFERENCES suite_case(id),
  model_id TEXT REFERENCES model(id), -- weights used, NULL: never opened
  round INTEGER NOT NULL,             -- from 0
  slot INTEGER NOT NULL,              -- turn within the round, from 0
  status TEXT NOT NULL CHECK(status IN ('ok','crash','timeout','garbage','refused','failed','interrupted')),
  reason TEXT,                        -- one sentence, NULL: ok
  started_utc TEXT NOT NULL,          -- UTC
  duration_ns INTEGER NOT NULL,       -- ns, whole process, load and warm-up included
  memory_available_bytes INTEGER,     -- bytes, before it started
  warmup TEXT NOT NULL,               -- first, full, none
  isa TEXT,                           -- used, NULL: unknown
  threads INTEGER                     -- used, NULL: unknown
, dropped_reason TEXT /* why the whole round of this case is set aside, NULL: it counts */, device TEXT /* name of what it ran on, NULL: not known */, device_uuid TEXT /* of it, NULL: it has none, or not known */, device_driver TEXT /* version, NULL: it has none, or not known */, device_memory_bytes INTEGER /* bytes of its own, NULL: it uses the host's, or not known */, software INTEGER /* 1: a GPU that is a program, whose times say nothing about hardware; NULL: not known */) STRICT;
CREATE INDEX run_by_session ON run(session_id, case_id, arm_id, round);
CREATE TABLE sample(
  id TEXT NOT NULL PRIMARY KEY,       -- UUID
  run_id TEXT NOT NULL REFERENCES run(id),
  ordinal INTEGER NOT NULL,           -- in the run, from 0
  warmup INTEGER NOT NULL,            -- 1: not for timing
  wall_ns INTEGER NOT NULL,           -- ns, request to last sample of audio, load excluded
  load_ns INTEGER,                    -- ns, opening the model in this process
  prefill_ns INTEGER,                 -- ns, phase
  generate_ns INTEGER,                -- ns, phase
  decode_ns INTEGER,                  -- ns, phase
  frames INTEGER NOT NULL,            -- frames made
  codebooks INTEGER,                  -- codes per frame
  audio_s REAL,                       -- seconds of audio made
  prompt_tokens INTEGER,              -- tokens
  ended INTEGER,                      -- 1: by the end-of-song rule, 0: by the length
  fed_codes INTEGER,                  -- 1: the stored codes were fed back
  peak_rss_bytes INTEGER,             -- bytes, largest resident set
  mapped_bytes INTEGER,               -- bytes, resident pages of mapped model files
  peak_unmapped_bytes INTEGER,        -- bytes, peak_rss_bytes - mapped_bytes
  held_weight_bytes INTEGER,          -- bytes, weights in use
  kv_bytes INTEGER,                   -- bytes, caches at their largest
  scratch_bytes INTEGER,              -- bytes, scratch at its largest
  frame_weight_bytes INTEGER,         -- bytes of weights one frame has to read
  frame_flops REAL,                   -- floating-point operations of one frame
  codes_hash TEXT,                    -- XXH3-128 of the codes as drawn, int32
  logits_hash TEXT,                   -- XXH3-128 of the logits of the codes that went on, float32
  audio_hash TEXT,                    -- XXH3-128 of the raw samples, float32
  sample_rate_hz INTEGER,             -- Hz
  channels INTEGER,                   -- count
  bits INTEGER,                       -- per sample
  bit_rate_kbps REAL,                 -- kbit/s
  codec TEXT,                         -- of the file, or of the raw samples
  peak REAL,                          -- largest absolute sample, 1 = full scale
  rms REAL,                           -- root mean square, 1 = full scale
  dc REAL,                            -- mean sample, 1 = full scale
  silence_share REAL,                 -- share of 50 ms windows below -60 dBFS, 0 to 1
  clipped_share REAL,                 -- share of samples at or beyond full scale, 0 to 1
  non_finite INTEGER,                 -- samples that are NaN or infinite
  constant INTEGER,                   -- 1: all samples are equal
  health TEXT,                        -- ok, suspect, bad
  health_reasons TEXT,                -- why it is not ok
  device TEXT, overlapped_ns INTEGER /* ns, decoding done before the last frame was made */, reference_ns INTEGER /* ns, of prefill: encoding the voice to clone */, codec_frame_flops REAL /* floating-point operations of decoding one frame */, codec_bytes INTEGER /* bytes of weights that one call of the decoder reads */, ttfa_raw_ns INTEGER /* ns, request to first piece of audio, NULL: not streamed */, ttfa_ns INTEGER /* ns, request to first piece that is not silent, NULL: not streamed, or all silent */, stall_max_ns INTEGER /* ns, longest wait of a player, NULL: not streamed */, stall_total_ns INTEGER /* ns, all waits of a player, NULL: not streamed */, stalls INTEGER /* waits of a player, NULL: not streamed */, buffer_ns INTEGER /* ns, shortest wait at the start that leaves no other, NULL: not streamed */, pieces INTEGER /* of audio, NULL: not streamed */, distinct_weight_bytes INTEGER /* bytes of weights one frame reads, each once */, cold INTEGER /* 1: the model's files were out of the page cache when loading began, NULL: not asked for */, cold_note TEXT /* why the model's files could not be put out of the page cache */, load_peak_bytes INTEGER /* bytes, largest resident set less mapped model pages while loading */, prefill_peak_bytes INTEGER /* bytes, the same within prefill */, generate_peak_bytes INTEGER /* bytes, the same within generate */, decode_peak_bytes INTEGER /* bytes, the same within decode */, rss_after_bytes INTEGER /* bytes, resident set less mapped model pages after the call, its result freed */, energy_uj INTEGER /* microjoules of the timed call, gross */, energy_idle_uj INTEGER /* microjoules that the idle machine takes in the same time */, energy_source TEXT /* what measured it, or why nothing did */, cycles INTEGER /* of the timed call, all threads */, instructions INTEGER /* of the timed call, all threads */, cache_misses INTEGER /* last level, of the timed call, all threads */, context_switches INTEGER /* of the timed call, all threads */, page_faults INTEGER /* of the timed call, all threads */, counter_note TEXT /* which performance counters are missing and why */, clock_khz INTEGER /* kHz, around the timed call, mean over CPUs */, temperature_c REAL /* degrees Celsius, hottest CPU sensor after the timed call */, throttled INTEGER /* times that a CPU was throttled during the timed call */, steal_ns INTEGER /* ns of CPU time that the host gave to others during the timed call */, zero_crossings REAL /* share of samples, 0 to 1, median of windows */, flatness REAL /* spectral flatness, 0 tone to 1 noise, median of windows */, level_drift_db REAL /* dB, RMS of the last third of the audio against the first */, centroid_drift REAL /* octaves, centre of the spectrum, last third of the audio against the first */, seam_db REAL /* dB, jump at the worst seam of pieces or segments against that around it, NULL: no seam */, places TEXT /* where each part ran: part=device */, predicted_weight_bytes INTEGER /* bytes, from shapes alone: weights copied to the heap */, predicted_kv_bytes INTEGER /* bytes, from shapes alone: caches at their largest */, predicted_scratch_bytes INTEGER /* bytes, from shapes alone: scratch at its largest */, predicted_codec_bytes INTEGER /* bytes, from shapes alone: what decoding takes at most */, predicted_total_bytes INTEGER /* bytes, from shapes alone: largest sum at any time, mapped weights left out */, prefill_flops INTEGER /* floating-point operations of prefill */, prefill_weight_bytes INTEGER /* bytes of weights that the operations of prefill read, each pass anew */, device_busy_ns INTEGER /* ns within generate in which the device had work, by its own timestamps */, device_used_bytes INTEGER /* bytes, most memory of the device in use during the timed call, by whomever */, device_energy_uj INTEGER /* uJ of the device's card during the timed call */, device_power_w REAL /* W of the device's card, mean */, device_busy_share REAL /* share of the timed call that its engines were busy, as it tells */, device_clock_mhz REAL /* MHz, mean of readings */, device_temperature_c REAL /* degrees C of its hottest sensor */, device_note TEXT /* what the device does not tell, and why */, audio_ns INTEGER /* ns of other: reading the recording that is transcribed */, mel_ns INTEGER /* ns of prefill: log-mel of a recording */, encode_ns INTEGER /* ns of prefill: encoder of a transcript */, music_ns INTEGER /* ns of other: making the music that is transcribed */, windows INTEGER /* of a transcript */,                        -- what it ran on
  UNIQUE(run_id, ordinal)
) STRICT;
CREATE TABLE span(
  sample_id TEXT NOT NULL REFERENCES sample(id),
  name TEXT NOT NULL,                 -- backbone, decoder, sampling, flow, vocoder ...
  count INTEGER NOT NULL,             -- times
  total_ns INTEGER NOT NULL,          -- ns, inner spans included
  self_ns INTEGER NOT NULL,           -- ns, inner spans left out
  PRIMARY KEY(sample_id, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE count(
  sample_id TEXT NOT NULL REFERENCES sample(id),
  name TEXT NOT NULL,                 -- engine/base/probe.h tells what it counts
  load INTEGER NOT NULL,              -- 1: while loading, 0: in the timed call
  value INTEGER NOT NULL,             -- exact
  PRIMARY KEY(sample_id, name, load)
) STRICT, WITHOUT ROWID;
CREATE TABLE output(
  sample_id TEXT NOT NULL PRIMARY KEY REFERENCES sample(id),
  codes_equal INTEGER NOT NULL,       -- 1: every drawn code is the stored one
  first_frame INTEGER,                -- first frame that differs, from 0, NULL: none
  differing_codes INTEGER NOT NULL,   -- count
  max_logit_difference REAL           -- largest |logit - reference logit| of the stored codes, NULL: not known
) STRICT, WITHOUT ROWID;
CREATE TABLE artifact(
  id TEXT NOT NULL PRIMARY KEY,       -- UUID
  session_id TEXT NOT NULL REFERENCES session(id),
  run_id TEXT REFERENCES run(id),     -- NULL: of the whole session
  kind TEXT NOT NULL,                 -- audio, codes, trace, journal
  path TEXT NOT NULL,                 -- where it was written
  hash TEXT,                          -- XXH3-128 of the file
  bytes INTEGER                       -- of the file
) STRICT;
CREATE TABLE stored_codes(
  request_hash TEXT NOT NULL,         -- suite_case.request_hash
  model_id TEXT NOT NULL,             -- fingerprint of the weights
  seed INTEGER NOT NULL,              -- of the draws, as signed 64 bit
  frames INTEGER NOT NULL,            -- count
  codebooks INTEGER NOT NULL,         -- codes per frame
  codes BLOB NOT NULL,                -- int32, little-endian, [frames][codebooks]
  logits BLOB,                        -- float32, little-endian, [frames][codebooks], of those codes; NULL: not known
  made_by TEXT NOT NULL,              -- arm that drew them
  made_utc TEXT NOT NULL,             -- UTC
  PRIMARY KEY(request_hash, model_id, seed)
) STRICT;
CREATE TABLE fidelity(
  session_id TEXT NOT NULL REFERENCES session(id),
  arm_id TEXT NOT NULL REFERENCES arm(id),
  case_id TEXT NOT NULL REFERENCES suite_case(id),
  snr_db REAL,                        -- dB, audio against the first arm's, in time; infinite: equal; NULL: not known
  spectral_snr_db REAL, log_spectral_db REAL /* dB, log-spectral distance of the audio */, seam_db REAL /* dB, jump at the seams of pieces against that elsewhere, NULL: no seams */, top1 REAL /* share of codes whose likeliest choice is the reference's, along the stored codes */, mean_kl REAL /* nat, KL(reference, this) of the codes' distributions, mean */, max_logit_difference REAL /* over the whole vocabulary */, relative_rms REAL /* of the logits: root mean square of the difference over that of the reference */,               -- dB, the same of magnitudes of 1024-point spectra
  PRIMARY KEY(arm_id, case_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE fidelity_codebook(
  session_id TEXT NOT NULL REFERENCES session(id),
  arm_id TEXT NOT NULL REFERENCES arm(id),
  case_id TEXT NOT NULL REFERENCES suite_case(id),
  codebook INTEGER NOT NULL,          -- from 0
  frames INTEGER NOT NULL,            -- compared
  top1 REAL NOT NULL,                 -- share of frames
  mean_kl REAL NOT NULL,              -- nat
  max_logit_difference REAL NOT NULL, relative_rms REAL /* the same of this codebook */, -- over vocabulary and frames
  PRIMARY KEY(arm_id, case_id, codebook)
) STRICT, WITHOUT ROWID;
CREATE TABLE frame_time(
  sample_id TEXT NOT NULL REFERENCES sample(id),
  first_frame INTEGER NOT NULL,       -- of a stretch of frames
  frames INTEGER NOT NULL,            -- in it
  total_ns INTEGER NOT NULL,          -- ns, all of them
  PRIMARY KEY(sample_id, first_frame)
) STRICT, WITHOUT ROWID;
CREATE TABLE session_tag(
  session_id TEXT NOT NULL REFERENCES session(id),
  key TEXT NOT NULL,                  -- of --tag KEY=VALUE
  value TEXT NOT NULL,                -- UTF-8
  PRIMARY KEY(session_id, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE verdict(
  id TEXT NOT NULL PRIMARY KEY,       -- UUID
  session_id TEXT NOT NULL REFERENCES session(id),
  case_id TEXT REFERENCES suite_case(id), -- NULL: all cases together
  base_arm_id TEXT NOT NULL REFERENCES arm(id),
  arm_id TEXT NOT NULL REFERENCES arm(id),
  metric TEXT NOT NULL,               -- hmbench list metrics
  rounds INTEGER NOT NULL,            -- pairs it rests on
  ratio REAL,                         -- of times, arm to base: above 1 is slower; NULL: not known
  low REAL,                           -- of the two-sided 95 % interval, NULL: none
  high REAL,                          -- of the same
  margin REAL,                        -- slowdown that is let pass, 0.02: 2 %
  mde REAL,                           -- least slowdown that is found with 80 % probability, NULL: not calibrated
  verdict TEXT NOT NULL CHECK(verdict IN ('pass','fail','improved','inconclusive','invalid','differs')),
  reason TEXT                         -- one sentence, NULL: nothing to add
) STRICT;
CREATE TABLE baseline(
  name TEXT NOT NULL,                 -- of `hmbench baseline set NAME`
  session_id TEXT NOT NULL REFERENCES session(id),
  set_utc TEXT NOT NULL,              -- UTC
  PRIMARY KEY(name, session_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE calibration(
  session_id TEXT NOT NULL REFERENCES session(id),
  case_id TEXT NOT NULL REFERENCES suite_case(id),
  arm_id TEXT NOT NULL REFERENCES arm(id),
  rounds INTEGER NOT NULL,            -- pairs of equal programs
  sd REAL NOT NULL,                   -- 1.4826 MAD of ln(second / first)
  bias REAL NOT NULL,                 -- Hodges-Lehmann estimate of the same: 0 expected
  drift_p REAL NOT NULL,              -- Mann-Kendall, two-sided
  PRIMARY KEY(session_id, case_id, arm_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE machine_figure(
  machine_id TEXT NOT NULL REFERENCES machine(id),
  session_id TEXT REFERENCES session(id), -- measured with it, NULL: by hmbench limits
  measured_utc TEXT NOT NULL,         -- UTC
  name TEXT NOT NULL,                 -- memory, cache (the last level), l1, l2 ...: reading; flops: multiply-adds
  type TEXT NOT NULL,                 -- of the numbers: f32, bf16, int8; bytes for reading
  isa TEXT NOT NULL,                  -- scalar, avx2, avx512, or an extension of them: avx512_bf16, avx512_vnni, avx_vnni
  threads INTEGER NOT NULL,           -- that measured
  value REAL NOT NULL,                -- GB/s or GFLOP/s
  block_bytes INTEGER,                -- bytes that were read again and again, NULL: not of reading, or not known
  how TEXT,                           -- with which instructions, NULL: not known
  PRIMARY KEY(machine_id, measured_utc, name, type, isa, threads)
) STRICT, WITHOUT ROWID;
CREATE VIEW figure AS SELECT
  s.id AS sample_id, r.id AS run_id, r.session_id, r.case_id, r.arm_id, r.round, r.slot, s.ordinal, s.warmup,
  c.suite, c.name AS case_name, a.position AS arm_position, a.name AS arm,
  s.wall_ns / 1e6 AS wall_ms,
  s.load_ns / 1e6 AS load_ms,
  s.prefill_ns / 1e6 AS prefill_ms,
  s.generate_ns / 1e6 AS generate_ms,
  s.decode_ns / 1e6 AS decode_ms,
  (s.wall_ns - s.prefill_ns - s.generate_ns - s.decode_ns) / 1e6 AS other_ms,
  100.0 * s.prefill_ns / nullif(s.prefill_ns + s.generate_ns + s.decode_ns, 0) AS prefill_percent,
  100.0 * s.generate_ns / nullif(s.prefill_ns + s.generate_ns + s.decode_ns, 0) AS generate_percent,
  100.0 * s.decode_ns / nullif(s.prefill_ns + s.generate_ns + s.decode_ns, 0) AS decode_percent,
  s.frames, s.audio_s,
  s.wall_ns / 1e9 / nullif(s.audio_s, 0) AS rtf,
  s.audio_s * 1e9 / nullif(s.wall_ns, 0) AS x_real_time,
  s.frames * 1e9 / nullif(s.wall_ns, 0) AS tok_s,
  s.frames * 1e9 / nullif(s.generate_ns, 0) AS gen_tok_s,
  s.frames * 1e9 / nullif(s.generate_ns, 0) AS fps,
  s.frames * s.codebooks * 1e9 / nullif(s.generate_ns, 0) AS codes_s,
  s.generate_ns / 1e6 / nullif(s.frames, 0) AS frame_ms,
  s.frame_weight_bytes * s.frames * 1.0 / nullif(s.generate_ns, 0) AS generate_gb_s,
  s.peak_rss_bytes / 1e6 AS peak_rss_mb,
  s.peak_unmapped_bytes / 1e6 AS mem_mb,
  s.health, s.codes_hash, s.audio_hash,
  s.prompt_tokens, s.ended, s.cold, s.overlapped_ns / 1e6 AS overlapped_ms, s.reference_ns / 1e6 AS reference_ms,
  s.frame_flops * s.frames / nullif(s.generate_ns, 0) AS generate_gflop_s,
  s.held_weight_bytes / 1e6 AS weights_mb, s.kv_bytes / 1e6 AS kv_mb, s.scratch_bytes / 1e6 AS scratch_mb,
  s.load_peak_bytes / 1e6 AS load_peak_mb, s.prefill_peak_bytes / 1e6 AS prefill_peak_mb,
  s.generate_peak_bytes / 1e6 AS generate_peak_mb, s.decode_peak_bytes / 1e6 AS decode_peak_mb,
  s.ttfa_raw_ns / 1e6 AS ttfa_raw_ms, s.ttfa_ns / 1e6 AS ttfa_ms, s.stall_max_ns / 1e6 AS stall_max_ms,
  s.stall_total_ns / 1e6 AS stall_total_ms, s.stalls, s.buffer_ns / 1e6 AS buffer_ms,
  s.buffer_ns <= 50000000 AS c50, s.buffer_ns <= 100000000 AS c100, s.buffer_ns <= 200000000 AS c200,
  s.energy_uj / 1e6 AS energy_j, (s.energy_uj - s.energy_idle_uj) / 1e6 AS energy_net_j,
  s.energy_uj / 1e6 / nullif(s.audio_s, 0) AS energy_audio_j,
  s.cycles, s.instructions, s.instructions * 1.0 / nullif(s.cycles, 0) AS ipc, s.cache_misses, s.context_switches, s.page_faults,
  s.clock_khz / 1e3 AS clock_mhz, s.temperature_c, s.throttled, s.steal_ns / 1e6 AS steal_ms,
  s.peak, s.rms, s.dc, s.silence_share, s.clipped_share, s.non_finite, s.zero_crossings, s.flatness, s.level_drift_db,
  o.codes_equal, o.first_frame AS first_diff, o.max_logit_difference AS logit_diff
FROM sample s JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id JOIN arm a ON a.id = r.arm_id
LEFT JOIN output o ON o.sample_id = s.id
WHERE r.status = 'ok' AND r.dropped_reason IS NULL;
CREATE VIEW arm_figure AS SELECT
  session_id, case_id, arm_id, suite, case_name, arm_position, arm, count(*) AS n,
  avg(wall_ms) AS wall_ms, min(wall_ms) AS wall_min_ms, max(wall_ms) AS wall_max_ms,
  CASE WHEN count(*) > 1 THEN sqrt(max(0, (avg(wall_ms * wall_ms) - avg(wall_ms) * avg(wall_ms)) * count(*) / (count(*) - 1))) END AS wall_sd_ms,
  avg(prefill_ms) AS prefill_ms, avg(generate_ms) AS generate_ms, avg(decode_ms) AS decode_ms, avg(other_ms) AS other_ms,
  avg(load_ms) AS load_ms, avg(audio_s) AS audio_s, avg(frames) AS frames,
  avg(wall_ms) / 1e3 / nullif(avg(audio_s), 0) AS rtf, avg(frames) * 1e3 / nullif(avg(wall_ms), 0) AS tok_s,
  avg(frames) * 1e3 / nullif(avg(generate_ms), 0) AS gen_tok_s,
  max(mem_mb) AS mem_mb, max(peak_rss_mb) AS peak_rss_mb
FROM (SELECT session_id, case_id, arm_id, suite, case_name, arm_position, arm, avg(wall_ms) AS wall_ms, avg(prefill_ms) AS prefill_ms, avg(generate_ms) AS generate_ms, avg(decode_ms) AS decode_ms, avg(other_ms) AS other_ms, avg(load_ms) AS load_ms, avg(audio_s) AS audio_s, avg(frames) AS frames, max(mem_mb) AS mem_mb, max(peak_rss_mb) AS peak_rss_mb FROM figure WHERE NOT warmup GROUP BY run_id) GROUP BY session_id, case_id, arm_id;
CREATE VIEW stream_figure AS SELECT
  s.id AS sample_id, r.session_id, r.case_id, r.arm_id, r.round, c.suite, c.name AS case_name, a.name AS arm,
  s.ttfa_raw_ns / 1e6 AS ttfa_raw_ms, s.ttfa_ns / 1e6 AS ttfa_ms,
  s.stall_max_ns / 1e6 AS stall_max_ms, s.stall_total_ns / 1e6 AS stall_total_ms, s.stalls, s.pieces,
  s.buffer_ns / 1e6 AS buffer_ms, s.buffer_ns <= 50000000 AS c50, s.buffer_ns <= 100000000 AS c100, s.buffer_ns <= 200000000 AS c200,
  s.wall_ns / 1e9 / nullif(s.audio_s, 0) AS rtf
FROM sample s JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id JOIN arm a ON a.id = r.arm_id
WHERE r.status = 'ok' AND r.dropped_reason IS NULL AND NOT s.warmup AND s.ttfa_raw_ns IS NOT NULL;
CREATE VIEW cold_figure AS SELECT
  r.session_id, r.case_id, r.arm_id, c.suite, c.name AS case_name, a.position AS arm_position, a.name AS arm,
  s.cold, s.cold_note, CASE WHEN s.cold THEN s.load_ns / 1e6 END AS cold_load_ms, w.load_ms AS warm_load_ms,
  CASE WHEN s.cold THEN s.load_ns / 1e6 / nullif(w.load_ms, 0) END AS load_ratio,
  s.wall_ns / 1e6 AS first_ms, w.wall_ms AS steady_ms, s.wall_ns / 1e6 / nullif(w.wall_ms, 0) AS first_ratio
FROM sample s JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id JOIN arm a ON a.id = r.arm_id
LEFT JOIN arm_figure w ON w.session_id = r.session_id AND w.case_id = r.case_id AND w.arm_id = r.arm_id
WHERE r.status = 'ok' AND s.cold IS NOT NULL AND s.ordinal = 0;
CREATE TABLE sample_part(
  sample_id TEXT NOT NULL REFERENCES sample(id),
  part TEXT NOT NULL,                 -- whose weights: backbone, decoder, heads, dit, codec
  span TEXT NOT NULL,                 -- within which they are read: last word of a span's name
  format TEXT NOT NULL,               -- of its linear layers: f32, bf16, f16, int8, int4, fp4
  pass_bytes INTEGER NOT NULL,        -- bytes of weights that a pass reads
  distinct_bytes INTEGER NOT NULL,    -- bytes of weights that all its passes read, each weight once
  frame_passes REAL,                  -- passes per frame, NULL: not known
  PRIMARY KEY(sample_id, part, span)
) STRICT, WITHOUT ROWID;
CREATE VIEW transcript_figure AS SELECT
  s.id AS sample_id, r.session_id, r.case_id, r.arm_id, r.round, c.suite, c.name AS case_name, a.position AS arm_position, a.name AS arm,
  c.audio_s, c.chunk_s, c.batch, c.beams, s.windows, s.frames AS tokens,
  s.load_ns / 1e6 AS load_ms, s.audio_ns / 1e6 AS audio_ms, s.mel_ns / 1e6 AS mel_ms, s.encode_ns / 1e6 AS encode_ms,
  s.generate_ns / 1e6 AS text_ms, s.music_ns / 1e6 AS music_ms, (s.wall_ns - coalesce(s.music_ns, 0)) / 1e6 AS wall_ms,
  (s.wall_ns - coalesce(s.music_ns, 0)) / 1e9 / nullif(c.audio_s, 0) AS rtf,
  s.frames * 1e9 / nullif(s.wall_ns - coalesce(s.music_ns, 0), 0) AS tok_s, s.frames * 1e9 / nullif(s.generate_ns, 0) AS text_tok_s
FROM sample s JOIN run r ON r.id = s.run_id JOIN suite_case c ON c.id = r.case_id JOIN arm a ON a.id = r.arm_id
WHERE r.status = 'ok' AND r.dropped_reason IS NULL AND NOT s.warmup AND c.recording IS NOT NULL;
INSERT INTO machine(id,host_id,cpu_model,cpus,cpus_online,cores,smt,isa,cpu_quota,memory_bytes,memory_limit_bytes,governor,kernel,os,container,seen_utc) VALUES('m1','h1','A CPU',2,4,2,1,'avx2',1.5,8000000000,NULL,'powersave','6.1','Debian 12',NULL,'2000-01-01T00:00:00.000Z');
INSERT INTO build(id,version,git_commit,git_dirty,compiler,flags,build_type,sanitizer,binary_hash,seen_utc) VALUES('b1','0.1.0','0123456789abcdef',0,'gcc 12','-O2','Release',NULL,'x','2000-01-01T00:00:00.000Z');
INSERT INTO model(id,kind,name,path,synthetic,codebooks,code_vocabulary,sample_rate_hz,channels,max_positions,frame_s,seen_utc,speech_kind,size) VALUES('w1','heartmula','mini','/m',1,8,8197,48000,2,8192,0.08,'2000-01-01T00:00:00.000Z',NULL,NULL);
INSERT INTO model(id,kind,name,path,synthetic,codebooks,code_vocabulary,sample_rate_hz,channels,max_positions,frame_s,seen_utc,speech_kind,size) VALUES('w2','qwen3-tts','tts-mini','/q',1,16,8197,48000,2,8192,0.08,'2000-01-01T00:00:00.000Z','base','0b6');
INSERT INTO suite_case(id,request_hash,suite_hash,suite,name,task,tags,lyrics,intro_style,verse_style,chorus_style,frames,topk,cfg_scale,temperature,seed,flow_steps,flow_guidance,words,kind,text,speaker,language,instruct,reference,reference_text,streaming_text,top_p,repetition_penalty,sub_temperature,sub_topk,sub_top_p,recording,audio_s,chunk_s,batch,window_tokens,beams) VALUES('c1','q1','s1','short','plain','music','pop, it''s','[Verse]
la; la
-- no comment',NULL,NULL,NULL,3,50,1.5,1.0,-1,0,1.25,2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO suite_case(id,request_hash,suite_hash,suite,name,task,tags,lyrics,intro_style,verse_style,chorus_style,frames,topk,cfg_scale,temperature,seed,flow_steps,flow_guidance,words,kind,text,speaker,language,instruct,reference,reference_text,streaming_text,top_p,repetition_penalty,sub_temperature,sub_topk,sub_top_p,recording,audio_s,chunk_s,batch,window_tokens,beams) VALUES('c2','q2','s1','short','speech','speech','','',NULL,NULL,NULL,3,50,0.0,0.9,5,0,0.0,2,'base','hello there','ryan','english',NULL,NULL,NULL,-1,0.8,1.05,0.7,7,0.6,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO session(id,machine_id,build_id,created_utc,ended_utc,state,interrupted,command_line,options,order_seed,rounds,kind) VALUES('e1','m1','b1','2000-01-01T00:00:00.000Z','2000-01-01T00:10:00.000Z','done',1,'hmbench suite short','{"rounds": 2}',-5,2,'suite');
INSERT INTO session(id,machine_id,build_id,created_utc,ended_utc,state,interrupted,command_line,options,order_seed,rounds,kind) VALUES('e2','m1','b1','2000-02-01T00:00:00.000Z',NULL,'running',0,'hmbench suite short','{}',6,1,'suite');
INSERT INTO arm(id,session_id,position,name,variant,toggles,coincides,backend,isa,threads,precision,model,command,program,build_id,device,env_profile,environment) VALUES('a1','e1',0,'naive','naive','kv=0',NULL,'cpu',NULL,0,'bf16/bf16/f32','/m',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO arm(id,session_id,position,name,variant,toggles,coincides,backend,isa,threads,precision,model,command,program,build_id,device,env_profile,environment) VALUES('a2','e1',1,'best','best','kv=1',NULL,'cpu',NULL,0,'bf16/bf16/f32','/m',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO arm(id,session_id,position,name,variant,toggles,coincides,backend,isa,threads,precision,model,command,program,build_id,device,env_profile,environment) VALUES('a3','e2',0,'other',NULL,NULL,NULL,'command',NULL,1,NULL,'/m','./other',NULL,NULL,NULL,NULL,NULL);
INSERT INTO run(id,session_id,arm_id,case_id,model_id,round,slot,status,reason,started_utc,duration_ns,memory_available_bytes,warmup,isa,threads,dropped_reason,device,device_uuid,device_driver,device_memory_bytes,software) VALUES('r1','e1','a1','c1','w1',0,0,'ok',NULL,'2000-01-01T00:01:00.000Z',2000000000,99,'first','avx2',2,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO run(id,session_id,arm_id,case_id,model_id,round,slot,status,reason,started_utc,duration_ns,memory_available_bytes,warmup,isa,threads,dropped_reason,device,device_uuid,device_driver,device_memory_bytes,software) VALUES('r2','e1','a2','c1','w1',0,1,'ok',NULL,'2000-01-01T00:01:00.000Z',2000000000,99,'first','avx2',2,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO run(id,session_id,arm_id,case_id,model_id,round,slot,status,reason,started_utc,duration_ns,memory_available_bytes,warmup,isa,threads,dropped_reason,device,device_uuid,device_driver,device_memory_bytes,software) VALUES('r3','e1','a1','c1','w1',1,0,'ok',NULL,'2000-01-01T00:01:00.000Z',2000000000,99,'first','avx2',2,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO run(id,session_id,arm_id,case_id,model_id,round,slot,status,reason,started_utc,duration_ns,memory_available_bytes,warmup,isa,threads,dropped_reason,device,device_uuid,device_driver,device_memory_bytes,software) VALUES('r4','e1','a2','c1','w1',1,1,'ok',NULL,'2000-01-01T00:01:00.000Z',2000000000,99,'first','avx2',2,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO run(id,session_id,arm_id,case_id,model_id,round,slot,status,reason,started_utc,duration_ns,memory_available_bytes,warmup,isa,threads,dropped_reason,device,device_uuid,device_driver,device_memory_bytes,software) VALUES('r9','e2','a3','c1',NULL,0,0,'crash','signal 6','2000-02-01T00:01:00.000Z',9,NULL,'first',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO sample(id,run_id,ordinal,warmup,wall_ns,load_ns,prefill_ns,generate_ns,decode_ns,frames,codebooks,audio_s,prompt_tokens,ended,fed_codes,peak_rss_bytes,mapped_bytes,peak_unmapped_bytes,held_weight_bytes,kv_bytes,scratch_bytes,frame_weight_bytes,frame_flops,codes_hash,logits_hash,audio_hash,sample_rate_hz,channels,bits,bit_rate_kbps,codec,peak,rms,dc,silence_share,clipped_share,non_finite,constant,health,health_reasons,device,overlapped_ns,reference_ns,codec_frame_flops,codec_bytes,ttfa_raw_ns,ttfa_ns,stall_max_ns,stall_total_ns,stalls,buffer_ns,pieces,distinct_weight_bytes,cold,cold_note,load_peak_bytes,prefill_peak_bytes,generate_peak_bytes,decode_peak_bytes,rss_after_bytes,energy_uj,energy_idle_uj,energy_source,cycles,instructions,cache_misses,context_switches,page_faults,counter_note,clock_khz,temperature_c,throttled,steal_ns,zero_crossings,flatness,level_drift_db,centroid_drift,seam_db,places,predicted_weight_bytes,predicted_kv_bytes,predicted_scratch_bytes,predicted_codec_bytes,predicted_total_bytes,prefill_flops,prefill_weight_bytes,device_busy_ns,device_used_bytes,device_energy_uj,device_power_w,device_busy_share,device_clock_mhz,device_temperature_c,device_note,audio_ns,mel_ns,encode_ns,music_ns,windows) VALUES('x1','r1',0,0,1000000000,5,100000000,500000000,250000000,3,8,0.24,9,0,1,5000000,1000000,4000000,10,11,12,1000,2000.5,'c0de',NULL,'a1',48000,2,32,3072.0,'float32',0.5,0.1,0.0,0.0,0.0,0,0,'ok',NULL,'CPU',7,NULL,1.5,13,80000000,81000000,60000000,60000000,1,60000000,2,900,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1000000,2500000,NULL,3);
INSERT INTO sample(id,run_id,ordinal,warmup,wall_ns,load_ns,prefill_ns,generate_ns,decode_ns,frames,codebooks,audio_s,prompt_tokens,ended,fed_codes,peak_rss_bytes,mapped_bytes,peak_unmapped_bytes,held_weight_bytes,kv_bytes,scratch_bytes,frame_weight_bytes,frame_flops,codes_hash,logits_hash,audio_hash,sample_rate_hz,channels,bits,bit_rate_kbps,codec,peak,rms,dc,silence_share,clipped_share,non_finite,constant,health,health_reasons,device,overlapped_ns,reference_ns,codec_frame_flops,codec_bytes,ttfa_raw_ns,ttfa_ns,stall_max_ns,stall_total_ns,stalls,buffer_ns,pieces,distinct_weight_bytes,cold,cold_note,load_peak_bytes,prefill_peak_bytes,generate_peak_bytes,decode_peak_bytes,rss_after_bytes,energy_uj,energy_idle_uj,energy_source,cycles,instructions,cache_misses,context_switches,page_faults,counter_note,clock_khz,temperature_c,throttled,steal_ns,zero_crossings,flatness,level_drift_db,centroid_drift,seam_db,places,predicted_weight_bytes,predicted_kv_bytes,predicted_scratch_bytes,predicted_codec_bytes,predicted_total_bytes,prefill_flops,prefill_weight_bytes,device_busy_ns,device_used_bytes,device_energy_uj,device_power_w,device_busy_share,device_clock_mhz,device_temperature_c,device_note,audio_ns,mel_ns,encode_ns,music_ns,windows) VALUES('x2','r2',0,0,2000000000,5,100000000,500000000,250000000,3,8,0.24,9,0,1,5000000,1000000,4000000,10,11,12,1000,2000.5,'c0de',NULL,'a2',48000,2,32,3072.0,'float32',0.5,0.1,0.0,0.0,0.0,0,0,'suspect','a long silence','CPU',7,NULL,1.5,13,80000000,81000000,60000000,60000000,1,60000000,2,900,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO sample(id,run_id,ordinal,warmup,wall_ns,load_ns,prefill_ns,generate_ns,decode_ns,frames,codebooks,audio_s,prompt_tokens,ended,fed_codes,peak_rss_bytes,mapped_bytes,peak_unmapped_bytes,held_weight_bytes,kv_bytes,scratch_bytes,frame_weight_bytes,frame_flops,codes_hash,logits_hash,audio_hash,sample_rate_hz,channels,bits,bit_rate_kbps,codec,peak,rms,dc,silence_share,clipped_share,non_finite,constant,health,health_reasons,device,overlapped_ns,reference_ns,codec_frame_flops,codec_bytes,ttfa_raw_ns,ttfa_ns,stall_max_ns,stall_total_ns,stalls,buffer_ns,pieces,distinct_weight_bytes,cold,cold_note,load_peak_bytes,prefill_peak_bytes,generate_peak_bytes,decode_peak_bytes,rss_after_bytes,energy_uj,energy_idle_uj,energy_source,cycles,instructions,cache_misses,context_switches,page_faults,counter_note,clock_khz,temperature_c,throttled,steal_ns,zero_crossings,flatness,level_drift_db,centroid_drift,seam_db,places,predicted_weight_bytes,predicted_kv_bytes,predicted_scratch_bytes,predicted_codec_bytes,predicted_total_bytes,prefill_flops,prefill_weight_bytes,device_busy_ns,device_used_bytes,device_energy_uj,device_power_w,device_busy_share,device_clock_mhz,device_temperature_c,device_note,audio_ns,mel_ns,encode_ns,music_ns,windows) VALUES('x3','r3',0,0,1500000000,5,100000000,500000000,250000000,3,8,0.24,9,0,1,5000000,1000000,4000000,10,11,12,1000,2000.5,'c0de',NULL,'a1',48000,2,32,3072.0,'float32',0.5,0.1,0.0,0.0,0.0,0,0,'ok',NULL,'CPU',7,NULL,1.5,13,80000000,81000000,60000000,60000000,1,60000000,2,900,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO sample(id,run_id,ordinal,warmup,wall_ns,load_ns,prefill_ns,generate_ns,decode_ns,frames,codebooks,audio_s,prompt_tokens,ended,fed_codes,peak_rss_bytes,mapped_bytes,peak_unmapped_bytes,held_weight_bytes,kv_bytes,scratch_bytes,frame_weight_bytes,frame_flops,codes_hash,logits_hash,audio_hash,sample_rate_hz,channels,bits,bit_rate_kbps,codec,peak,rms,dc,silence_share,clipped_share,non_finite,constant,health,health_reasons,device,overlapped_ns,reference_ns,codec_frame_flops,codec_bytes,ttfa_raw_ns,ttfa_ns,stall_max_ns,stall_total_ns,stalls,buffer_ns,pieces,distinct_weight_bytes,cold,cold_note,load_peak_bytes,prefill_peak_bytes,generate_peak_bytes,decode_peak_bytes,rss_after_bytes,energy_uj,energy_idle_uj,energy_source,cycles,instructions,cache_misses,context_switches,page_faults,counter_note,clock_khz,temperature_c,throttled,steal_ns,zero_crossings,flatness,level_drift_db,centroid_drift,seam_db,places,predicted_weight_bytes,predicted_kv_bytes,predicted_scratch_bytes,predicted_codec_bytes,predicted_total_bytes,prefill_flops,prefill_weight_bytes,device_busy_ns,device_used_bytes,device_energy_uj,device_power_w,device_busy_share,device_clock_mhz,device_temperature_c,device_note,audio_ns,mel_ns,encode_ns,music_ns,windows) VALUES('x4','r4',0,0,2500000000,5,100000000,500000000,250000000,3,8,0.24,9,0,1,5000000,1000000,4000000,10,11,12,1000,2000.5,'c0de',NULL,'a2',48000,2,32,3072.0,'float32',0.5,0.1,0.0,0.0,0.0,0,0,'suspect','a long silence','CPU',7,NULL,1.5,13,80000000,81000000,60000000,60000000,1,60000000,2,900,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO span(sample_id,name,count,total_ns,self_ns) VALUES('x1','generate/frame/backbone',3,1000,900);
INSERT INTO span(sample_id,name,count,total_ns,self_ns) VALUES('x2','generate/frame/backbone',3,1000,900);
INSERT INTO span(sample_id,name,count,total_ns,self_ns) VALUES('x3','generate/frame/backbone',3,1000,900);
INSERT INTO span(sample_id,name,count,total_ns,self_ns) VALUES('x4','generate/frame/backbone',3,1000,900);
INSERT INTO count(sample_id,name,load,value) VALUES('x1','launches',0,42);
INSERT INTO count(sample_id,name,load,value) VALUES('x1','launches',1,7);
INSERT INTO count(sample_id,name,load,value) VALUES('x2','launches',0,42);
INSERT INTO count(sample_id,name,load,value) VALUES('x2','launches',1,7);
INSERT INTO count(sample_id,name,load,value) VALUES('x3','launches',0,42);
INSERT INTO count(sample_id,name,load,value) VALUES('x3','launches',1,7);
INSERT INTO count(sample_id,name,load,value) VALUES('x4','launches',0,42);
INSERT INTO count(sample_id,name,load,value) VALUES('x4','launches',1,7);
INSERT INTO output(sample_id,codes_equal,first_frame,differing_codes,max_logit_difference) VALUES('x1',1,NULL,0,0.0);
INSERT INTO output(sample_id,codes_equal,first_frame,differing_codes,max_logit_difference) VALUES('x2',0,2,4,0.25);
INSERT INTO output(sample_id,codes_equal,first_frame,differing_codes,max_logit_difference) VALUES('x3',1,NULL,0,0.0);
INSERT INTO output(sample_id,codes_equal,first_frame,differing_codes,max_logit_difference) VALUES('x4',0,2,4,0.25);
INSERT INTO artifact(id,session_id,run_id,kind,path,hash,bytes) VALUES('f1','e1','r1','audio','a.flac','00',12);
INSERT INTO artifact(id,session_id,run_id,kind,path,hash,bytes) VALUES('f2','e1',NULL,'journal','j.md',NULL,NULL);
INSERT INTO stored_codes(request_hash,model_id,seed,frames,codebooks,codes,logits,made_by,made_utc) VALUES('q1','w1',-1,3,8,X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F',X'000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000','naive','2000-01-01T00:00:00.000Z');
INSERT INTO fidelity(session_id,arm_id,case_id,snr_db,spectral_snr_db,log_spectral_db,seam_db,top1,mean_kl,max_logit_difference,relative_rms) VALUES('e1','a1','c1',9e999,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO fidelity(session_id,arm_id,case_id,snr_db,spectral_snr_db,log_spectral_db,seam_db,top1,mean_kl,max_logit_difference,relative_rms) VALUES('e1','a2','c1',30.5,40.25,NULL,NULL,0.75,0.5,2.5,NULL);
INSERT INTO fidelity_codebook(session_id,arm_id,case_id,codebook,frames,top1,mean_kl,max_logit_difference,relative_rms) VALUES('e1','a2','c1',0,3,0.5,0.125,2.5,0.0625);
INSERT INTO frame_time(sample_id,first_frame,frames,total_ns) VALUES('x1',0,3,9000);
INSERT INTO sample_part(sample_id,part,span,format,pass_bytes,distinct_bytes,frame_passes) VALUES('x1','backbone','backbone','int8',1000,1000,1.0);
INSERT INTO sample_part(sample_id,part,span,format,pass_bytes,distinct_bytes,frame_passes) VALUES('x1','decoder','decoder','bf16',200,200,NULL);
INSERT INTO session_tag(session_id,key,value) VALUES('e1','branch','main');
INSERT INTO verdict(id,session_id,case_id,base_arm_id,arm_id,metric,rounds,ratio,low,high,margin,mde,verdict,reason) VALUES('v1','e1',NULL,'a1','a2','wall',10,1.25,1.0625,1.5,0.02,NULL,'fail','slower');
INSERT INTO baseline(name,session_id,set_utc) VALUES('release','e1','2000-03-01T00:00:00.000Z');
INSERT INTO calibration(session_id,case_id,arm_id,rounds,sd,bias,drift_p) VALUES('e1','c1','a1',10,0.01,0.001,0.5);
INSERT INTO machine_figure(machine_id,session_id,measured_utc,name,type,isa,threads,value,block_bytes,how) VALUES('m1','e1','2000-01-01T00:10:00.000Z','cache','bytes','avx2',2,100.5,8388608,NULL);
INSERT INTO machine_figure(machine_id,session_id,measured_utc,name,type,isa,threads,value,block_bytes,how) VALUES('m1','e1','2000-01-01T00:10:00.000Z','flops','f32','avx2',2,300.0,NULL,NULL);
INSERT INTO machine_figure(machine_id,session_id,measured_utc,name,type,isa,threads,value,block_bytes,how) VALUES('m1','e1','2000-01-01T00:10:00.000Z','memory','bytes','avx2',2,20.25,536870912,NULL);
COMMIT;
