#!/bin/bash
#SBATCH --job-name=epure-compare
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=01:00:00
#SBATCH --requeue
#SBATCH --output=%x-%j.log
#
# Judges the runs of a sweep: mean and spread over the seeds of each model, in one report.

sweep=${1:?"which sweep? sbatch compare.sh FOLDER [options of epure compare]"}
shift
exec epure compare "$sweep"/*/* --out "reports/$(basename "$sweep")-$SLURM_JOB_ID" "$@"
