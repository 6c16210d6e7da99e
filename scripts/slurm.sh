#!/usr/bin/env bash
# Train on several machines under Slurm, and go on after preemption.
#
#   sbatch --nodes=4 --gpus-per-node=8 scripts/slurm.sh \
#       tasks/imagenet_resnet50 methods/rigl hardware/multi_worker SPARSITY=0.8 \
#       PRECISION=mixed_bfloat16 --workdir=/shared/runs/rigl80
#
# One task per node trains on all GPUs of its node. Five minutes before the time is
# up, and when the job is preempted, all tasks get SIGTERM: they save, end with 130,
# and the job is put back into the queue. VENV names the virtual environment.
#SBATCH --job-name=rigl_tf
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -uo pipefail

# Slurm runs a copy of this file, elsewhere.
cd "${SLURM_SUBMIT_DIR:-.}" || exit 2
srun --kill-on-bad-exit=1 --wait=60 --distribution=block \
  --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" \
  "${VENV:-.venv}/bin/rigl_tf" train "$@"
code=$?

# 0 done, 2 the user's mistake, 75 another job is training in the directory;
# anything else goes on from the last checkpoint.
if [ "$code" -ne 0 ] && [ "$code" -ne 2 ] && [ "$code" -ne 75 ] &&
  [ "${SLURM_RESTART_COUNT:-0}" -lt "${MAX_RESTARTS:-100}" ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
