#!/usr/bin/env bash
# Share a sweep among the tasks of a Slurm job array, and go on after preemption.
#
#   sbatch --array=0-7 --gpus=1 scripts/slurm_sweep.sh sweeps/mnist_mlp \
#       --workdir=/shared/runs/mnist
#
# Task I of N trains every N-th run; runs that begin with the result of another one
# are trained by the same task. SHARDS names N if not all tasks are submitted, e.g.
# SHARDS=8 with --array=3,5. Five minutes before the time is up, and when it is
# preempted, a task gets SIGTERM: it saves, ends with 130 and is put back into the
# queue. VENV names the virtual environment.
#SBATCH --job-name=rigl_tf_sweep
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

# Slurm runs a copy of this file, elsewhere.
cd "${SLURM_SUBMIT_DIR:-.}" || exit 2
srun --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  "${VENV:-.venv}/bin/rigl_tf" sweep "$@" \
  --shard="${SLURM_ARRAY_TASK_ID:?submit it with --array=0-7}/${SHARDS:-$SLURM_ARRAY_TASK_COUNT}"
code=$?

# 0 done, 2 the user's mistake; anything else goes on from the last checkpoints.
if [ "$code" -ne 0 ] && [ "$code" -ne 2 ] &&
  [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_RESTARTS:-100}" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
