#!/bin/bash
#SBATCH --job-name=epure-sweep
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --array=0-8           # models x seeds, counted from 0
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A-%a.log
#
# Trains each model with each seed, as train.sh (which must lie in this folder) trains one; then compare.sh judges them:
#
#     job=$(sbatch --parsable sweep.sh --data tyres)
#     sbatch --dependency=afterok:$job compare.sh sweep-$job

read -r -a models <<<"${MODELS:-vae gmrf_mvae mdm}"
seeds=${SEEDS:-3}

export RUNS=sweep-$SLURM_ARRAY_JOB_ID
exec bash train.sh "${models[SLURM_ARRAY_TASK_ID / seeds]}" --seed "$((SLURM_ARRAY_TASK_ID % seeds))" "$@"
