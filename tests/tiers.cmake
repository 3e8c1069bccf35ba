# Which tests wait for a longer tier. Every test is in the tier `quick` (seconds; all of them together under two minutes) unless it
# is named here. A name is a test's: its file without the suffix.
#   quick     ./hmbench test --quick          every change
#   default   ./hmbench test                  before a commit is shared; needs every engine module; under 25 minutes on two cores
#   full      ./hmbench test --full           full sizes: minutes and gigabytes each
set(HM_TIER_DEFAULT
  cli_transcribe_test transcribe_suite_test verify_whisper_test cli_install_test db_kill_test cli_gate_test cli_gate_stored_test ci_recipe_test fixed_runtime_test inspect_memory_test variants_rebuild_test
  cli_batch_test worker_protocol_test cli_slurm_test packs_test profile_test store_care_test store_transfer_test suite_machine_test bitwise_test heart_stream_test gpu_engine_test gpu_memory_test gpu_memory_cuda_test gpu_goldens_test
  cuda_goldens_test cuda_lanes_test gpu_attention_cuda_test gpu_linear_cuda_test gpu_sample_cuda_test gpu_failure_test gpu_failure_cuda_test)
set(HM_TIER_FULL peers_full_test cuda_many_test cuda_flash_test cuda_counts_test device_run_test gpu_variants_full_test gpu_intel_test gpu_cuda_test cuda_spills_test view_trace_test db_kill_full_test report_page_test slurm_test completion_shells_test neon_kernels_test
  cuda_many_spills_test gpu_failure_full_test gpu_engine_cuda_test gpu_goldens_cuda_test gpu_failure_full_cuda_test gpu_variants_full_cuda_test gpu_profile_cuda_test)

# What runs under ThreadSanitizer: whatever starts threads or worker processes. Regular expressions over test names.
set(HM_THREADED "^base_team" "^probe_" "^store_test" "^suite_" "^rounds_" "^gate_simulation" "^cpu_" "^speech_audio"
  "^speech_bitwise" "_stream_" "_thread_")
