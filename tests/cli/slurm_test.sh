# suite --slurm against Slurm itself: munged, slurmctld and slurmd of one node on loopback, in a folder of the test, as the test's user.
. "${HM_SOURCE:?run by ctest, which sets it}/tests/script.sh" || exit 1
export PATH=$PATH:/usr/sbin:/sbin
for program in munged slurmctld slurmd sbatch; do
    command -v $program >/dev/null || skip_all "no $program (apt-get install slurm-wlm munge)"
done
cd "$scratch" || exit 1
chmod 755 "$scratch" # the socket of munge has to be in reach
export HMBENCH_CACHE="$scratch/cache" SLURM_CONF="$scratch/slurm.conf"
unset HMBENCH_DB HMBENCH_PROGRESS
daemons=()

free_port() {
    local port
    for port in $(shuf -i 20000-30000 -n 50); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
    done
}

# The daemons stay in the foreground: what was started here is what is ended here.
start_cluster() {
    local host user
    host=$(uname -n)
    user=$(id -un)
    mkdir -m 755 munge spool state || return
    dd if=/dev/urandom of=munge/key bs=1 count=1024 status=none && chmod 400 munge/key || return
    munged --foreground --force --key-file="$scratch/munge/key" --socket="$scratch/munge/socket" --pid-file="$scratch/munge/pid" \
        --log-file="$scratch/munge/log" --seed-file="$scratch/munge/seed" --num-threads=2 >munge/out 2>&1 &
    daemons+=($!)
    cat >slurm.conf <<CONF
ClusterName=hmbench
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$scratch/munge/socket
CredType=cred/munge
StateSaveLocation=$scratch/state
SlurmdSpoolDir=$scratch/spool
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.pid
SlurmctldLogFile=$scratch/slurmctld.log
SlurmdLogFile=$scratch/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=1
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) Feature=here State=UNKNOWN
PartitionName=bench Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
    local i
    for i in $(seq 50); do [ ! -S munge/socket ] || break; sleep 0.1; done
    slurmctld -D -c >slurmctld.out 2>&1 &
    daemons+=($!)
    slurmd -D >slurmd.out 2>&1 &
    daemons+=($!)
    for i in $(seq 150); do
        [ "$(sinfo --noheader --format=%T 2>/dev/null)" != idle ] || return 0
        sleep 0.2
    done
    return 1
}

stop_cluster() {
    local pid
    scancel --user="$(id -un)" 2>/dev/null && sleep 1
    for pid in "${daemons[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${daemons[@]}"; do
        (sleep 10; kill -9 "$pid" 2>/dev/null) & # if it does not end
        wait "$pid" 2>/dev/null
        kill $! 2>/dev/null
    done
    rm -rf "$scratch"
}
trap stop_cluster EXIT

sql() { "$HM_PROGRAM" db sql "$1" --db out/test.db -o csv | tr -d '\r' | tail -n +2; }
newest() { ls -td out/slurm-*/ | head -n 1 | sed 's,/$,,'; }

# suite LENGTH OPTIONS: a song and an utterance by two arms
suite() {
    timeout 300 "$HM_PROGRAM" suite short --model heartmula-tiny,qwen3-tts-tiny --filter 'plain|speech' --threads 1 --settle 0 \
        --logit-frames 0 --no-trace --no-keep-audio --db out/test.db "$@" >out.txt 2>err.txt
}

# waits_for TEXT COMMAND...: until it prints the text
waits_for() {
    local text=$1 i
    shift
    for i in $(seq 300); do
        [ "$("$@" 2>/dev/null)" != "$text" ] || return 0
        sleep 0.1
    done
    fail "$*: never said $text: $("$@" 2>&1)"
}

cases_are_measured_as_an_array_and_merged() {
    suite --slurm --partition bench --constraint here --nodes 1 --slurm-time 10 -n 2 || fail "exit code $?: $(cat err.txt out/slurm-*/task-*.log)"
    expect "exit codes" "0 0" "$(cat out/slurm-*/task-*.exit | cut -d ' ' -f 1 | xargs)"
    expect "sessions" "2" "$(sql "SELECT count(*) FROM session_tag WHERE key = 'slurm' AND 'slurm-' || value = '$(basename "$(newest)")'")"
    expect "runs" "8" "$(sql "SELECT count(*) FROM run WHERE status = 'ok'")"
    expect "arms of a session" "2" "$(sql "SELECT max((SELECT count(*) FROM arm a WHERE a.session_id = s.id)) FROM session s")"
    grep -q heartmula-tiny out.txt && grep -q qwen3-tts-tiny out.txt || fail "$(cat out.txt)"
    expect "lines of progress" 0 "$(grep -c ETA err.txt)"
}

sessions_of_an_array_are_found_by_their_tag() {
    local tag
    tag=$(basename "$(newest)")
    tag=slurm=${tag#slurm-}
    "$HM_PROGRAM" journal --session "$tag" --db out/test.db >journal.md || fail "journal: $?"
    grep -q heartmula-tiny journal.md && grep -q qwen3-tts-tiny journal.md || fail "$(cat journal.md)"
    "$HM_PROGRAM" compare naive best --session "$tag" --db out/test.db >compare.md || fail "compare: $?"
    expect "paired cases" 2 "$(grep -c '^| short/.* | paired ' compare.md)"
}

what_slurm_refuses_is_told_in_its_words() {
    local before
    before=$(ls out)
    suite --slurm --partition nowhere
    expect "exit code" 69 $?
    grep -q "^hmbench: sbatch: .*[Ii]nvalid partition" err.txt || fail "$(cat err.txt)"
    suite --slurm --constraint gpu
    expect "exit code" 69 $?
    expect "folders" "$before" "$(ls out)"
}

a_task_that_is_taken_away_is_told_and_measured_again() {
    local folder array
    suite --slurm --slurm-submit-only -n 24 || fail "$(cat err.txt)"
    folder=$(newest)
    array=$(sed -n 's/^Slurm array \([0-9]*\): 2 of 2 tasks.*/\1/p' err.txt)
    waits_for RUNNING squeue --noheader --jobs="${array}_0" --format=%T
    waits_for PENDING squeue --noheader --jobs="${array}_1" --format=%T # for the node that task 0 has for itself
    scancel "${array}_1"
    for _ in $(seq 100); do [ ! -e "$folder/task-0.db" ] || break; sleep 0.1; done
    sleep 2
    scancel "${array}_0"
    waits_for "" squeue --noheader --jobs="$array" --format=%T
    "$HM_PROGRAM" suite --slurm-gather "$folder" --db out/test.db >out.txt 2>err.txt
    expect "exit code" 6 $?
    grep -q "^task 0 .*exit code 130" err.txt || fail "$(cat err.txt "$folder"/task-0.*)"
    grep -q "^task 1 .*Slurm: CANCELLED" err.txt || fail "$(cat err.txt)"
    timeout 300 "$HM_PROGRAM" suite --slurm --resume --db out/test.db >out.txt 2>err.txt || fail "exit code $?: $(cat err.txt "$folder"/*.log)"
    grep -q "2 of 2 tasks" err.txt || fail "$(cat err.txt)"
    # what was interrupted went on: no session more, and every arm once per case and round
    expect "sessions, turns" "2,96" "$(sql "SELECT count(DISTINCT s.id), count(DISTINCT r.arm_id || r.case_id || r.round) FROM session s \
JOIN run r ON r.session_id = s.id JOIN session_tag t ON t.session_id = s.id WHERE t.key = 'slurm' AND 'slurm-' || t.value = '$(basename "$folder")' \
AND r.status = 'ok' AND r.dropped_reason IS NULL AND r.round >= 0")"
}

an_interrupted_wait_leaves_the_tasks_and_goes_on() {
    local pid code before
    before=$(newest)
    suite --slurm -n 10 &
    pid=$!
    for _ in $(seq 200); do grep -q '^Slurm array' err.txt 2>/dev/null && [ "$(newest)" != "$before" ] && break; sleep 0.1; done
    sleep 1
    kill -INT "$(pgrep -P "$(pgrep -P $pid -x timeout)")"
    wait $pid
    code=$?
    expect "exit code" 130 $code
    grep -q "the tasks go on in Slurm" err.txt || fail "$(cat err.txt)"
    timeout 300 "$HM_PROGRAM" suite --slurm --resume --db out/test.db >out.txt 2>err.txt || fail "exit code $?: $(cat err.txt)"
    expect "submitted again" 0 "$(grep -c '^Slurm array' err.txt)"
    expect "arrays" 1 "$(grep -c '"job":' "$(newest)/plan.json")"
}

# in this shell: the daemons are its children
echo "[ RUN      ] the_cluster_comes_up"
if start_cluster; then
    echo "[       OK ] the_cluster_comes_up"
else
    tail -n 5 munge/out munge/log slurmctld.out slurmd.out slurmctld.log slurmd.log 2>&1
    echo "[  FAILED  ] the_cluster_comes_up"
    exit 1
fi
check cases_are_measured_as_an_array_and_merged
check sessions_of_an_array_are_found_by_their_tag
check what_slurm_refuses_is_told_in_its_words
check a_task_that_is_taken_away_is_told_and_measured_again
check an_interrupted_wait_leaves_the_tasks_and_goes_on
finish
