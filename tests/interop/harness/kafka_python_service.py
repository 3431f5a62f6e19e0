"""Stands in for the module `test.service`, which kafka-python's source distribution leaves out: its fixtures only need
it to name the broker that runs already."""


class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass


class SpawnedService:
    def __init__(self, *_):
        raise RuntimeError("this run has its broker already and starts none")
