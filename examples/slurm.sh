#!/usr/bin/env bash
# Trains on several nodes: sbatch examples/slurm.sh RECIPE --data FOLDER --outdir RUN [options of `ganvas train`]
# FOLDER and RUN are on a file system that all nodes see, or RUN is an address such as s3://bucket/run.
#SBATCH --job-name=ganvas
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=1
for attempt in 1 2 3 4; do # a lost worker ends all of them; the same command goes on from the last snapshot
    srun --kill-on-bad-exit=1 torchrun \
        --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-4}" --max-restarts 0 \
        --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID-$attempt" --rdzv-endpoint "$first:29400" \
        -m ganvas train "$@" --resume && exit 0
    echo "Attempt $attempt ended early." >&2
done
exit 1
