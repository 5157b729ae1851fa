"""What the panel and the console do with a register beside keeping an answer in it; on any thread."""

from TACEResponseLib.follow_up.register import Register


class RegisterAccess:
    """file: of the register. ask(question, progress, **content): of the service that computes."""

    def __init__(self, ask):
        self._ask = ask

    def waiting(self, file):
        """(ID, day of the first scan) of the patients without a response; raises RegisterError."""
        with Register(file) as register:
            return _waiting(register.recorded())

    def record(self, file, patientId, response):
        """Record how a patient responded (CR, PR, SD or PD); who still waits. Raises RegisterError."""
        with Register(file) as register:
            register.record_outcome(patientId, response)
            return _waiting(register.recorded())

    def audit(self, file, folder, progress=None):
        """Write the page on how the predictions met the responses into `folder`; its path."""
        return self._ask("audit", progress, file=file, folder=folder)


def _waiting(recorded) -> list[tuple[str, str]]:
    """Each patient once, also where several models answered."""
    days = {}
    for one in recorded:
        if one.response is None:
            days.setdefault(one.patient_id, one.day)
    return list(days.items())
