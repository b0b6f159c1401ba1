//! What `framehop` leaves out: frames whose place is kept in memory. Compilers make them where a
//! function aligns its stack, and the kernel does for signal handlers.

use gimli::{
    CfaRule, EhFrame, Encoding, EndianSlice, EvaluationResult, Expression, LittleEndian, Location,
    Operation, RegisterRule, UnwindTableRow, Value, X86_64,
};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// What tables say of one instruction.
pub(super) struct Row<'a, 'data> {
    pub rules: &'a UnwindTableRow<usize>,
    pub frames: &'a EhFrame<Reader<'data>>,
    pub encoding: Encoding,
    /// The frame is that of a signal handler's end.
    pub signal: bool,
}

/// Registers, as far as they matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers {
    pub ip: u64,
    pub sp: u64,
    pub fp: u64,
}

impl<'data> Row<'_, 'data> {
    /// Whether finding the caller takes more than adding to registers.
    pub fn is_special(&self) -> bool {
        let CfaRule::Expression(expression) = self.rules.cfa() else {
            return false;
        };
        let Ok(expression) = expression.get(self.frames) else {
            return false;
        };
        let mut operations = expression.operations(self.encoding);
        while let Ok(Some(operation)) = operations.next() {
            if matches!(operation, Operation::Deref { .. }) {
                return true;
            }
        }
        false
    }

    /// The registers of the caller. `read` gives words of the stack.
    pub fn caller(
        &self,
        of: Registers,
        read: &mut impl FnMut(u64) -> Option<u64>,
    ) -> Option<Registers> {
        let frame = match self.rules.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                register_of(of, *register)?.checked_add_signed(*offset)?
            }
            CfaRule::Expression(expression) => {
                let expression = expression.get(self.frames).ok()?;
                self.evaluate(expression, of, None, read)?
            }
        };
        let mut saved = |register, unchanged: Option<u64>| match self.rules.register(register) {
            Some(RegisterRule::Offset(offset)) => read(frame.checked_add_signed(offset)?),
            Some(RegisterRule::Expression(expression)) => {
                let expression = expression.get(self.frames).ok()?;
                let at = self.evaluate(expression, of, Some(frame), read)?;
                read(at)
            }
            Some(RegisterRule::SameValue | RegisterRule::Undefined) | None => unchanged,
            Some(_) => None,
        };
        Some(Registers {
            ip: saved(X86_64::RA, None)?,
            fp: saved(X86_64::RBP, Some(of.fp))?,
            sp: frame,
        })
    }

    fn evaluate(
        &self,
        expression: Expression<Reader<'data>>,
        registers: Registers,
        initial: Option<u64>,
        read: &mut impl FnMut(u64) -> Option<u64>,
    ) -> Option<u64> {
        let mut evaluation = expression.evaluation(self.encoding);
        evaluation.set_max_iterations(1000);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = Value::Generic(register_of(registers, register)?);
                    evaluation.resume_with_register(value).ok()?
                }
                EvaluationResult::RequiresMemory {
                    address, size: 8, ..
                } => {
                    let value = Value::Generic(read(address)?);
                    evaluation.resume_with_memory(value).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.result().first()?.location {
            Location::Address { address } => Some(address),
            Location::Value {
                value: Value::Generic(value),
            } => Some(value),
            _ => None,
        }
    }
}

fn register_of(registers: Registers, register: gimli::Register) -> Option<u64> {
    match register {
        X86_64::RSP => Some(registers.sp),
        X86_64::RBP => Some(registers.fp),
        X86_64::RA => Some(registers.ip),
        _ => None,
    }
}
