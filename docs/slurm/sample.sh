#!/bin/bash
#SBATCH --job-name=epure-sample
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=00:30:00
#SBATCH --array=0-3           # each draws designs of its own, by its seed
#SBATCH --requeue
#SBATCH --output=%x-%A-%a.log
#
# Draws designs. A folder of samples is whole or not there, so a task that was stopped draws its own again, the same ones.
#
#     sbatch sample.sh vae --runs jobs/4711 --mode unconditional --num-samples 10000 --format npz

model=${1:?"which model? sbatch sample.sh MODEL [options of epure sample]"}
shift
out=samples/$SLURM_ARRAY_JOB_ID/$SLURM_ARRAY_TASK_ID
[ -d "$out" ] && exit 0

exec epure sample "$model" --seed "$SLURM_ARRAY_TASK_ID" --out "$out" "$@"
