"""The paper's ablations in small: Fig. 4(e), 5(e), 6(e), 8 and Table 2 (Sec. 4.2 and 4.3), with seeds and error bars.

| file | owns |
|---|---|
| `plan.py` | what a cell is: one training run, or one measurement, of one seed |
| `scales.py` | two sets of constants: `small` for two CPU cores, `paper` |
| `figures.py` | the five experiments as data: lines of cells, and what the paper claims of them |
| `samples.py` | which samples a seed draws from the footage, and what is measured on |
| `cell.py` | doing one cell |
| `pool.py` | doing many, in processes |
| `verdicts.py` | what the numbers say about the claims |
| `engine.py` | all of it, in order |
"""
