"""Two models on very many pictures: rows in Parquet, in this process or on a Ray cluster; and models in replicas."""
